import { randomBytes } from "node:crypto";
import { copyFile, readdir, readFile, stat, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { outputOf } from "@airlock/process";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { GuestAgent } from "../../guest/guest-agent.ts";
import { runCollected, shell } from "../../guest/testing/boot-guest.ts";
import { FirecrackerMonitor } from "./firecracker-monitor.ts";
import type { FirecrackerOptions } from "./firecracker-options.ts";
import { removeJail } from "./jail.ts";
import { type FirecrackerWorld, jailerName, makeFirecrackerWorld } from "./testing/firecracker-world.ts";

const signal = AbortSignal.timeout(110_000);

describe.skipIf(process.geteuid?.() !== 0)(`a machine in the jail of ${jailerName}`, () => {
  let world: FirecrackerWorld;
  let options: FirecrackerOptions;
  beforeAll(async () => {
    world = await makeFirecrackerWorld();
    options = { ...world.options, jailer: world.jailer };
  });
  afterAll(async () => await world?.[Symbol.asyncDispose]());

  const { pid } = process;
  const cgroups = async () =>
    [...(await world.jailer.cgroups.list(world.jailer.owner))].filter((id) => id.startsWith(`${pid}-`));
  const processesOf = (id: string) => world.jailer.cgroups.open(world.jailer.owner, id).processes();

  it("runs a step as a user of its own, with limits, and leaves nothing behind", async () => {
    const writable = await world.imageDisk();
    const disks = [
      { path: await world.imageDisk(), readOnly: true },
      { path: writable, readOnly: false },
    ];
    const plan = await world.plan({ disks });
    {
      await using vm = await new FirecrackerMonitor(options).boot(plan, { signal });
      const agent = await GuestAgent.connect(vm.stream, {
        signal,
        seed: randomBytes(32),
        time: new Date(),
        stallMs: 10_000,
      });
      await agent.mountWorkspace(null, 64 * 2 ** 20, signal);
      await agent.mountImage(0, "erofs", signal);
      expect((await runCollected(agent, shell("echo jailed"), signal)).stdout).toBe("jailed\n");
      const users = await Promise.all(
        [...(await processesOf(plan.id))].map(async (one) => {
          const text = await readFile(`/proc/${one}/status`, "utf8");
          expect(await readFile(`/proc/${one}/limits`, "utf8")).toMatch(/^Max core file size +0 +0 /m);
          return [/^Uid:\t(\d+)/m.exec(text)?.[1], /^CapEff:\t(\w+)/m.exec(text)?.[1]] as const;
        }),
      );
      const user = users.map(([id]) => Number(id)).find((id) => id !== 0);
      expect(user).toBeGreaterThanOrEqual(0x7a000000);
      expect(users).toContainEqual([String(user), "0000000000000000"]);
      expect(await stat(writable)).toMatchObject({ uid: user, gid: user });
      expect(await stat(plan.guest.kernel)).toMatchObject({ uid: 0 });
    }
    expect(await readdir(plan.dir)).toEqual([]);
    expect(await cgroups()).toEqual([]);
  });

  it("gives machines that run at once different users", async () => {
    const [one, two] = [await world.plan(), await world.plan()];
    const monitor = new FirecrackerMonitor(options);
    await using _first = await monitor.boot(one, { signal });
    await using _second = await monitor.boot(two, { signal });
    const userOf = async (dir: string) => (await stat(join(dir, basename(options.program), "vm", "root"))).uid;
    expect(await userOf(one.dir)).not.toBe(await userOf(two.dir));
  });

  it("ends what a killed executor left, and removes it", async () => {
    const plan = await world.plan();
    const vm = await new FirecrackerMonitor(options).boot(plan, { signal });
    await removeJail(plan, options.program, world.jailer);
    expect(await vm.ended).toMatchObject({ exitCode: expect.toSatisfy((code) => code === null || code > 0) });
    expect(await readdir(plan.dir)).toEqual([]);
    expect(await cgroups()).toEqual([]);
    await vm[Symbol.asyncDispose]();
  });

  it("runs in the machine's network namespace, with a tap that its user owns", async () => {
    const name = `fc-test-${pid}`;
    await outputOf(["ip", "netns", "add", name]);
    try {
      await outputOf(["ip", "-n", name, "tuntap", "add", "dev", "tap0", "mode", "tap"]);
      const network = { namespace: `/run/netns/${name}`, tap: "tap0", macAddress: "02:00:00:00:00:01" };
      const bandwidth = { ingress: 1000, egress: 2000 };
      const plan = await world.plan({ network });
      await using _vm = await new FirecrackerMonitor({ ...options, bandwidth }).boot(plan, { signal });
      const pids = (await outputOf(["ip", "netns", "pids", name])).trim().split("\n").map(Number);
      const inside = await processesOf(plan.id);
      expect(pids.length).toBeGreaterThan(0);
      expect(pids.every((one) => inside.has(one))).toBe(true);
    } finally {
      await outputOf(["ip", "netns", "del", name]);
    }
  });

  it("reports a program that does not start, although the jailer succeeds", async () => {
    const program = join(world.directory, "broken-firecracker");
    await writeFile(program, "not a program", { mode: 0o755 });
    const plan = await world.plan({ bootMs: 5000 });
    await expect(new FirecrackerMonitor({ ...options, program }).boot(plan, { signal })).rejects.toThrow(
      "did not start",
    );
    expect(await readdir(plan.dir)).toEqual([]);
    expect(await cgroups()).toEqual([]);
  });

  it("reports what the jailer refuses", async () => {
    const program = join(world.directory, "firecracker-missing");
    const failed = new FirecrackerMonitor({ ...options, program }).boot(await world.plan(), { signal });
    await expect(failed).rejects.toThrow(/Firecracker has ended with exit code 1[\s\S]*No such file or directory/);
    const other = join(world.directory, "other-program");
    await copyFile(options.program, other);
    const unnamed = new FirecrackerMonitor({ ...options, program: other }).boot(await world.plan(), { signal });
    await expect(unnamed).rejects.toThrow('needs a program whose name contains "firecracker"');
  });

  it("starts a program with a long name, which is a part of the paths of its sockets", async () => {
    const program = join(world.directory, `firecracker-${"x".repeat(80)}`);
    await copyFile(options.program, program);
    await using _vm = await new FirecrackerMonitor({ ...options, program }).boot(await world.plan(), { signal });
  });

  it("refuses a disk that the machine's user can't read", async () => {
    const path = join(world.directory, "secret-disk");
    await writeFile(path, "", { mode: 0o600 });
    const plan = await world.plan({ disks: [{ path, readOnly: true }] });
    await expect(new FirecrackerMonitor(options).boot(plan, { signal })).rejects.toThrow(
      "not readable for other users",
    );
    expect(await cgroups()).toEqual([]);
  });

  it("needs cgroups", async () => {
    const jailer = { ...world.jailer, cgroups: { ...world.jailer.cgroups, mode: "none" as const } };
    const failed = new FirecrackerMonitor({ ...options, jailer }).boot(await world.plan(), { signal });
    await expect(failed).rejects.toThrow("the jailer needs cgroups");
  });
});
