import { randomBytes } from "node:crypto";
import { mkdir, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { GuestAgent } from "../../guest/guest-agent.ts";
import { runCollected, shell } from "../../guest/testing/boot-guest.ts";
import type { RunningVm } from "../vm-monitor.ts";
import { FirecrackerMonitor } from "./firecracker-monitor.ts";
import type { FirecrackerOptions } from "./firecracker-options.ts";
import { type FirecrackerWorld, firecrackerName, makeFirecrackerWorld } from "./testing/firecracker-world.ts";

const signal = AbortSignal.timeout(110_000);

describe.skipIf(process.geteuid?.() !== 0).each(["none", "used"] as const)(
  `a snapshot of ${firecrackerName} (jailer: %s)`,
  (jail) => {
    let world: FirecrackerWorld;
    let options: FirecrackerOptions;
    beforeAll(async () => {
      world = await makeFirecrackerWorld();
      options = { ...world.options, jailer: jail === "none" ? "none" : world.jailer };
    });
    afterAll(async () => await world?.[Symbol.asyncDispose]());

    const echo = async (vm: RunningVm) => {
      const agent = await GuestAgent.connect(vm.stream, {
        signal,
        seed: randomBytes(32),
        time: new Date(),
        stallMs: 10_000,
      });
      await agent.mountWorkspace(null, 64 * 2 ** 20, signal);
      await vm.attachImage(0, await world.imageDisk(), { signal });
      await agent.mountImage(0, "erofs", signal);
      return (await runCollected(agent, shell("echo restored"), signal)).stdout;
    };

    const makeSnapshot = async (name: string) => {
      const plan = await world.plan({ disks: [null] });
      const dir = join(world.directory, name);
      await mkdir(dir);
      await using vm = await new FirecrackerMonitor(options).boot(plan, { signal });
      const snapshot = await vm.snapshot(dir, { signal });
      await vm.ended;
      expect(await readdir(plan.dir)).toEqual([]);
      return snapshot;
    };

    it("starts two machines at once, and can't be changed by them", async () => {
      const snapshot = await makeSnapshot("two");
      expect((await readdir(snapshot.dir)).sort()).toEqual(["memory", "snapshot.json", "state"]);
      expect(await stat(join(snapshot.dir, "memory"))).toMatchObject({ uid: 0, size: 128 * 2 ** 20 });
      const state = await readFile(join(snapshot.dir, "state"), "utf8");
      const restore = async () => {
        const plan = await world.plan({ disks: [null] });
        await using vm = await new FirecrackerMonitor(options).restore(snapshot, plan, { signal });
        return await echo(vm);
      };
      expect(await Promise.all([restore(), restore()])).toEqual(["restored\n", "restored\n"]);

      const again = join(world.directory, "again");
      await mkdir(again);
      const restored = await new FirecrackerMonitor(options).restore(snapshot, await world.plan({ disks: [null] }), {
        signal,
      });
      await restored.snapshot(again, { signal });
      expect(await readFile(join(snapshot.dir, "state"), "utf8")).toBe(state);
      expect((await stat(join(again, "state"))).ino).not.toBe((await stat(join(snapshot.dir, "state"))).ino);
    });

    it("is refused for another machine, version, processor, or if it is not complete", async () => {
      const snapshot = await makeSnapshot("other");
      const monitor = new FirecrackerMonitor(options);
      const unusable = async (
        plan: Partial<Parameters<FirecrackerWorld["plan"]>[0]>,
        message: string,
        with_ = monitor,
      ) => {
        const failed = with_.restore(snapshot, await world.plan({ disks: [null], ...plan }), { signal });
        await expect(failed).rejects.toMatchObject({
          code: "snapshot-unusable",
          message: expect.stringContaining(message),
        });
      };
      await unusable({ cpus: 2 }, "its cpus is 1, but this machine needs 2");
      await unusable({ disks: [null, null] }, 'its disks is ["empty"]');
      await unusable({ memoryBytes: 2 ** 28 }, "its memoryBytes");
      const guest = (await world.plan()).guest;
      await unusable({ guest: { ...guest, initrd: `${guest.initrd}-new` } }, "its initrd is");
      await unusable({ guest: { ...guest, kernel: `${guest.kernel}-new` } }, "its kernel is");
      await unusable({}, "its bootArgs", new FirecrackerMonitor({ ...options, bootArgs: "more" }));
      const record = join(snapshot.dir, "snapshot.json");
      const text = await readFile(record, "utf8");
      await writeFile(record, text.replace(/"version":"[^"]*"/, '"version":"1.16.0"'));
      await unusable({}, 'its version is "1.16.0"');
      await writeFile(record, text.replace(/"processor":"[^"]*"/, '"processor":"x64 other"'));
      await unusable({}, 'its processor is "x64 other"');
      await writeFile(record, text.slice(1));
      await unusable({}, "snapshot.json is not JSON");
      await rm(record);
      await unusable({}, "it is not complete");
    });

    it("that is damaged ends the monitor", async () => {
      const snapshot = await makeSnapshot("damaged");
      await rm(join(snapshot.dir, "state"));
      await writeFile(join(snapshot.dir, "state"), "{", { mode: 0o444 });
      const plan = await world.plan({ disks: [null] });
      const failed = new FirecrackerMonitor(options).restore(snapshot, plan, { signal });
      await expect(failed).rejects.toMatchObject({
        code: "snapshot-unusable",
        message: expect.stringMatching(/did not start: Firecracker (has ended|refused PUT \/snapshot\/load)/),
      });
      expect(await readdir(plan.dir)).toEqual([]);
    });
  },
);
