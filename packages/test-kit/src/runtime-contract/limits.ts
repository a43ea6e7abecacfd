import { setTimeout as sleep } from "node:timers/promises";
import { type AirlockError, leastResources } from "@airlock/job";
import type { SandboxLimits, SandboxUsage } from "@airlock/runtime";
import { describe, expect, it } from "vitest";
import type { ContractTests } from "./contract-tests.ts";
import { hostProcesses, uniqueSeconds } from "./host-processes.ts";

const never = new AbortController().signal;

/** Tests the contract about the limits of a sandbox. Part of `describeRuntime`. */
export function describeLimits(tests: ContractTests): void {
  const { open, sharesKernel, isCluster, measuresUsage } = tests;
  describe("limits", () => {
    // gVisor's kernel counts differently, and a cluster has no limit for the processes of a pod.
    if (sharesKernel && !isCluster) {
      it("bound the number of processes", async ({ skip }) => {
        skip(!tests.enforces.pids, "this host can't limit it");
        await using place = await open({ limits: { pids: 40 } });

        const { status, stdout } = await place.run(
          "i=0; while [ $i -lt 200 ]; do sleep 60 & i=$((i+1)); echo $i; done; echo all",
        );

        expect(status).not.toEqual({ kind: "exited", exitCode: 0 });
        expect(stdout).not.toContain("all");
        expect(stdout.split("\n").length).toBeLessThan(45);
      });
    }

    // gVisor's kernel needs more.
    if (sharesKernel)
      it("let a step run with the smallest limits that a job may request, or name the limit that is too small", async () => {
        const { cpus, memoryBytes, pids } = leastResources;
        for (const limits of [{ cpus }, { memoryBytes }, { pids }, { cpus, memoryBytes, pids }]) {
          await using place = await open({ limits });

          const end = await place.run("echo $((6 * 7))").then(
            ({ status: { notes: _, ...status }, stdout }) => ({ ...status, stdout }),
            ({ reason, message }: AirlockError) => ({ reason, message }),
          );

          const ran = { kind: "exited", exitCode: 0, stdout: "42\n" };
          const killed = { kind: "killed", signal: "SIGKILL", outOfMemory: true, stdout: "" };
          const refused = {
            reason: "out-of-memory",
            message: expect.stringContaining("memory limit of 6 MiB is too small"),
          };
          expect("memoryBytes" in limits ? [ran, killed, refused] : [ran], JSON.stringify(limits)).toContainEqual(end);
        }
      });

    // gVisor's kernel counts for itself.
    if (sharesKernel)
      it("give a step a share of the signals and message queues that the kernel allows each user", async () => {
        await using place = await open();

        const { stdout } = await place.run("grep -E 'pending|msgqueue' /proc/self/limits");

        const [signals, queues] = stdout.split("\n").map((line) => Number(/(\d+) +\w+ *$/.exec(line)?.[1]));
        expect(signals).toBeLessThanOrEqual(4096);
        expect(queues).toBeLessThanOrEqual(409_600);
      });

    it("bound /dev/shm, 64 MiB by default, and never more than the memory", async () => {
      const mebibyte = 2 ** 20;
      const sizes: [Partial<SandboxLimits>, number][] = [
        [{}, 64],
        [{ shmBytes: 100 * mebibyte }, 100],
        [{ memoryBytes: 48 * mebibyte }, 48],
      ];
      for (const [limits, size] of sizes) {
        await using place = await open({ limits });

        const { stdout } = await place.run("df -k /dev/shm | tail -n 1; echo x > /dev/shm/x && cat /dev/shm/x");

        expect(stdout, JSON.stringify(limits)).toMatch(new RegExp(`^\\S+ +${size * 1024} .* /dev/shm\nx\n$`));
      }
    });

    if (measuresUsage) {
      it("come with what a running step uses of them, as far as this host measures it", async () => {
        await using place = await open();
        const mebibyte = 2 ** 20;
        const { usage } = place.sandbox;
        if (usage === undefined) throw new Error("this runtime can't tell");
        const readings: SandboxUsage[] = [];
        const before = await usage.call(place.sandbox, { signal: never });

        const step = place.run(
          "dd if=/dev/zero of=/dev/shm/x bs=1M count=50; i=0; while [ $i -lt 50000 ]; do i=$((i+1)); done",
        );
        let over = false;
        const ended = step.finally(() => {
          over = true;
        });
        while (!over) {
          readings.push(await usage.call(place.sandbox, { signal: never }));
          await Promise.race([ended, sleep(50)]);
        }
        const { cpuMs = 0, network } = await usage.call(place.sandbox, { signal: never });

        if (tests.enforces.memory) {
          const most = Math.max(...readings.map(({ memoryBytes = 0 }) => memoryBytes));
          expect(most - (before.memoryBytes ?? Number.NaN)).toBeGreaterThan(40 * mebibyte);
        }
        // A virtual machine's monitor may be where this host does not count.
        if (before.cpuMs !== undefined) expect(cpuMs - before.cpuMs).toBeGreaterThan(20);
        expect(network).toEqual({ receivedBytes: 0, sentBytes: 0 });
      });
    }

    it("count the content of /dev/shm as memory", async ({ skip }) => {
      skip(!tests.enforces.memory, "this host can't limit it");
      await using place = await open({ limits: { memoryBytes: 96 * 2 ** 20, shmBytes: 64 * 2 ** 20 } });

      // The second dd(1) reads one block of 70 MiB. Each of the two alone would fit.
      const { status } = await place.run(
        "dd if=/dev/zero of=/dev/shm/x bs=1M count=60; dd if=/dev/zero of=/dev/null bs=70M count=1",
      );

      expect(status).toMatchObject({ kind: "killed", outOfMemory: true });
    });

    it.each([
      ["cpus", { cpus: 0.001 }, "0.001 cores, the least is 0.01"],
      ["memory", { memoryBytes: 4 * 2 ** 20 }, "4 MiB of memory, the least is 6 MiB"],
      ["disk", { diskBytes: 2 ** 20 }, "1 MiB of disk, the least is 4 MiB"],
      ["processes", { pids: 1 }, "1 processes, the least is 8"],
      ["shared memory", { shmBytes: 0 }, "0 B of shared memory, the least is 4 KiB"],
    ] as const)("below the minimum of %s are the job's fault", async (_, limits, words) => {
      await expect(open({ limits })).rejects.toMatchObject({
        reason: "policy",
        message: `the job's limits are too low: ${words}`,
      });
    });

    if (!isCluster) {
      it("end a fork bomb with its step, and the sandbox stays usable", async ({ skip }) => {
        skip(!tests.enforces.pids, "this host can't limit it");
        await using place = await open({ limits: { pids: 60 } });
        const token = uniqueSeconds();

        // The bomb is bounded, because a runtime that does not stop it must not take the machine down.
        await place.run(
          `bomb() { sleep ${token} & [ $1 -gt 0 ] && { bomb $(($1 - 1)) & bomb $(($1 - 1)); }; }; bomb 9 & sleep 1`,
        );

        expect(await hostProcesses(token)).toEqual([]);
        expect((await place.run("echo usable")).stdout).toBe("usable\n");
      });
    }

    // gVisor's kernel counts differently.
    if (sharesKernel) {
      it("bound the processor time", async ({ skip }) => {
        skip(!tests.enforces.cpu, "this host can't limit it");
        await using place = await open({ limits: { cpus: 0.25 } });

        const { stdout } = await place.run("timeout 2 sh -c 'while :; do :; done'; times");

        const [, minutes, seconds] = /(\d+)m([\d.]+)s \S+\s*$/.exec(stdout.trim()) ?? [];
        const used = Number(minutes) * 60 + Number(seconds);
        expect(used).toBeGreaterThan(0);
        expect(used).toBeLessThan(0.8);
      });
    }
  });
}
