import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { temporaryDirectory } from "@airlock/test-kit";
import { describe, expect, it } from "vitest";
import { openCgroupHost } from "./cgroup-host.ts";

/**
 * Uses a plain directory in place of a cgroup v2 mount with all controllers. It shows which files are written and read.
 * How the kernel reacts can only be tested on a host with such a mount.
 */
async function unified() {
  const directory = await temporaryDirectory("airlock-cgroup2-");
  await writeFile(join(directory.path, "cgroup.controllers"), "cpuset cpu io memory pids\n");
  const host = await openCgroupHost([{ path: directory.path, fsType: "cgroup2", superOptions: ["rw"] }]);
  const read = (...names: string[]) => readFile(join(directory.path, "airlock", ...names), "utf8");
  return { directory, host, read, [Symbol.asyncDispose]: () => directory[Symbol.asyncDispose]() };
}

const limits = { cpus: 1.5, memoryBytes: 64 * 2 ** 20, pids: 50 };

describe("cgroup v2", () => {
  it("is available with all limits if its controllers are present", async () => {
    await using place = await unified();

    expect(place.host.mode).toBe("v2");
    expect(place.host.enforces).toEqual({ cpu: true, memory: true, pids: true });
    expect(place.host.countsSwap).toBe(true);
  });

  it("gets the limits of a sandbox without swap, plus four processes for Airlock's own", async () => {
    await using place = await unified();

    await place.host.create("owner", "one", limits);

    expect(await place.read("owner", "one", "memory.max")).toBe(String(limits.memoryBytes));
    expect(await place.read("owner", "one", "cpu.max")).toBe("150000 100000");
    expect(await place.read("owner", "one", "pids.max")).toBe("54");
    for (const path of [[], ["owner"], ["owner", "one"]]) {
      // Each controller is written separately, and a plain file keeps only the last one.
      expect(await place.read(...path, "cgroup.subtree_control")).toMatch(/^\+(?:cpu|memory|pids)$/);
    }
  });

  it("is killed as a whole, before processes are killed one by one", async () => {
    await using place = await unified();
    const cgroup = await place.host.create("owner", "one", limits);
    const path = join(place.directory.path, "airlock/owner/one");
    await writeFile(join(path, "cgroup.kill"), "");
    // No process has this pid, so the first check finds it and the kill hits nothing.
    await writeFile(join(path, "cgroup.procs"), "4194399\n");
    const killed = cgroup?.kill();
    while ((await place.read("owner", "one", "cgroup.kill")) !== "1") await new Promise(setImmediate);
    await writeFile(join(path, "cgroup.procs"), "");
    await killed;

    // Forks must be forbidden: "0" was written over the start of the plain file, which contained "54".
    expect(await place.read("owner", "one", "pids.max")).toBe("04");
  });

  it("reports memory kills, refused processes and throttling", async () => {
    await using place = await unified();
    const cgroup = await place.host.create("owner", "one", limits);
    const path = join(place.directory.path, "airlock/owner/one");
    await mkdir(join(path, "step"));
    await writeFile(join(path, "memory.events"), "low 0\nhigh 0\nmax 12\noom 3\noom_kill 2\noom_group_kill 0\n");
    await writeFile(join(path, "pids.events"), "max 7\n");
    await writeFile(join(path, "cpu.stat"), "usage_usec 10\nnr_periods 4\nnr_throttled 3\nthrottled_usec 2500\n");

    expect(await cgroup?.oomKills()).toBe(2);
    expect(await cgroup?.refusedForks()).toBe(7);
    expect(await cgroup?.throttledMs()).toBe(2.5);
  });

  it("reports nothing if nothing was counted", async () => {
    await using place = await unified();
    const cgroup = await place.host.create("owner", "one", limits);

    expect(await Promise.all([cgroup?.oomKills(), cgroup?.refusedForks(), cgroup?.throttledMs()])).toEqual([0, 0, 0]);
  });
});
