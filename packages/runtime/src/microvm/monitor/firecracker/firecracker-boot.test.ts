import { randomBytes } from "node:crypto";
import { readdir } from "node:fs/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { GuestAgent } from "../../guest/guest-agent.ts";
import { runCollected, shell } from "../../guest/testing/boot-guest.ts";
import type { RunningVm } from "../vm-monitor.ts";
import { FirecrackerMonitor } from "./firecracker-monitor.ts";
import { type FirecrackerWorld, firecrackerName, makeFirecrackerWorld } from "./testing/firecracker-world.ts";

const signal = AbortSignal.timeout(55_000);

describe.skipIf(process.geteuid?.() !== 0)(`a machine in ${firecrackerName}, without a jailer`, () => {
  let world: FirecrackerWorld;
  beforeAll(async () => {
    world = await makeFirecrackerWorld();
  });
  afterAll(async () => await world?.[Symbol.asyncDispose]());

  const connect = async (vm: RunningVm) => {
    const agent = await GuestAgent.connect(vm.stream, {
      signal,
      seed: randomBytes(32),
      time: new Date(),
      stallMs: 10_000,
    });
    await agent.mountWorkspace(null, 64 * 2 ** 20, signal);
    return agent;
  };

  it("tells its version", async () => {
    expect(await new FirecrackerMonitor(world.options).version({ signal })).toMatch(/^1\.\d+\.\d+/);
  });

  it("runs a step of an image disk, and leaves nothing behind", async () => {
    const plan = await world.plan({ disks: [{ path: await world.imageDisk(), readOnly: true }] });
    {
      await using vm = await new FirecrackerMonitor(world.options).boot(plan, { signal });
      const agent = await connect(vm);
      await agent.mountImage(0, "erofs", signal);
      const result = await runCollected(agent, shell("echo out; echo err >&2; exit 3"), signal);
      expect(result).toEqual({ status: { kind: "exited", exitCode: 3 }, stdout: "out\n", stderr: "err\n" });
    }
    expect(await readdir(plan.dir)).toEqual([]);
  });

  it("attaches an image to an empty slot of a running machine", async () => {
    const plan = await world.plan({ disks: [null, null] });
    await using vm = await new FirecrackerMonitor(world.options).boot(plan, { signal });
    const agent = await connect(vm);
    await vm.attachImage(1, await world.imageDisk(), { signal });
    await agent.mountImage(1, "erofs", signal);
    const { stdout } = await runCollected(agent, shell("echo attached", { image: 1 }), signal);
    expect(stdout).toBe("attached\n");
    const again = vm.attachImage(1, await world.imageDisk(), { signal });
    await expect(again).rejects.toThrow("slot 1 has an image already");
    await expect(vm.attachImage(2, await world.imageDisk(), { signal })).rejects.toThrow("no empty slot 2");
  });

  it("ends with its guest", async () => {
    const plan = await world.plan();
    await using vm = await new FirecrackerMonitor(world.options).boot(plan, { signal });
    const agent = await connect(vm);
    await agent.powerOff(signal).catch(() => {});
    expect(await vm.ended).toMatchObject({ exitCode: 0 });
  });
});
