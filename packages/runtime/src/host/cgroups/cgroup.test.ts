import { spawn } from "node:child_process";
import { once } from "node:events";
import { access } from "node:fs/promises";
import { describeWithEngines } from "@airlock/test-kit";
import { expect, it } from "vitest";
import { readMounts } from "../mounts.ts";
import { type CgroupHost, openCgroupHost } from "./cgroup-host.ts";

const mounts = await readMounts();
/** A hybrid host has both versions: v1 with its controllers, and v2 with the remaining ones. */
const hosts: [string, CgroupHost][] = [];
for (const fsType of ["cgroup", "cgroup2"]) {
  const of = mounts.filter((mount) => mount.fsType === fsType);
  const host = await openCgroupHost(of);
  if (host.mode !== "none") hosts.push([host.mode, host]);
}
const limits = { cpus: 1, memoryBytes: 64 * 2 ** 20, pids: 50 };
const owner = `cgroup-test-${process.pid}`;

describeWithEngines(["oci"], "a cgroup", () => {
  it.each(hosts.filter(([, { enforces }]) => enforces.memory))(
    "of %s tells its memory, and has the largest process killed for lack of it",
    async (_, host) => {
      const cgroup = await host.create(owner, "memory", limits);
      if (!cgroup) throw new Error("no cgroup was made");
      const join =
        'for file; do echo 0 > "$file"; done; sleep 1000 & dd if=/dev/zero of=/dev/null bs=30M & wait $!; wait';
      const shell = spawn("/bin/sh", ["-c", join, "sh", ...cgroup.joinFiles], {
        stdio: ["ignore", "inherit", "ignore"],
      });
      await expect.poll(() => cgroup.memoryState()?.usedBytes).toBeGreaterThan(25 * 2 ** 20);
      expect((await cgroup.processes()).size).toBe(3);

      cgroup.killLargest();

      await expect.poll(async () => (await cgroup.processes()).size).toBe(2);
      expect(await cgroup.oomKills()).toBe(1);
      expect(cgroup.memoryState()?.usedBytes).toBeLessThan(25 * 2 ** 20);
      const ended = once(shell, "exit");
      await cgroup.kill();
      await ended;
      await cgroup.remove();
    },
  );

  it("is available to root in at least one version, and not to other users", () => {
    expect(hosts.length > 0).toBe(process.geteuid?.() === 0);
  });

  it.each(hosts)(
    "of %s contains the processes that join, kills them all, and is removed with its owner",
    async (_, host) => {
      const cgroup = await host.create(owner, "one", limits);
      if (!cgroup) throw new Error("no cgroup was made");
      const child = cgroup.child("step");
      await child.make();
      const join = 'for file; do echo 0 > "$file"; done; sleep 1000 & sleep 1000 & echo joined; wait';
      const shell = spawn("/bin/sh", ["-c", join, "sh", ...child.joinFiles], { stdio: ["ignore", "pipe", "inherit"] });
      await once(shell.stdout, "data");

      expect((await cgroup.processes()).size).toBe(3);
      expect(await host.list(owner)).toEqual(new Set(["one"]));
      expect(await cgroup.oomKills()).toBe(0);

      const ended = once(shell, "exit");
      await cgroup.kill();
      await ended;

      expect((await cgroup.processes()).size).toBe(0);
      await cgroup.remove();
      await cgroup.remove();
      expect(await host.list(owner)).toEqual(new Set());
      for (const file of cgroup.joinFiles) await expect(access(file)).rejects.toThrow("ENOENT");
    },
  );
});
