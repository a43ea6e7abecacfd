import { randomBytes } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import type { StepStatus } from "@airlock/runtime";
import { describe, expect, it } from "vitest";
import type { ContractTests } from "./contract-tests.ts";
import { hostProcesses, uniqueSeconds } from "./host-processes.ts";

/** Tests the contract about how a step ends and what it prints. Part of `describeRuntime`. */
export function describeResults(tests: ContractTests): void {
  const { open } = tests;
  describe("a step's result", () => {
    it("is its exit code", async () => {
      await using place = await open();

      expect((await place.run("true")).status).toEqual({ kind: "exited", exitCode: 0 });
      expect((await place.run("exit 3")).status).toEqual({ kind: "exited", exitCode: 3 });
    });

    it("keeps every exit code, and names no signal for one above 128", async () => {
      await using place = await open();
      const codes = [125, 126, 127, 128, 129, 134, 137, 139, 143, 144, 145, 150, 157, 158, 192, 193, 255];

      const statuses: StepStatus[] = [];
      for (const code of codes) statuses.push((await place.run(`exit ${code}`)).status);

      expect(statuses).toEqual(codes.map((exitCode) => ({ kind: "exited", exitCode })));
    });

    it("is 128 + n, as in a shell, when signal n ended the script", async () => {
      await using place = await open();

      expect((await place.run("kill -TERM $$; sleep 60")).status).toEqual({ kind: "exited", exitCode: 143 });
      expect((await place.run("kill -KILL $$; sleep 60")).status).toEqual({ kind: "exited", exitCode: 137 });
      expect((await place.run("exec sh -c 'kill -ABRT $$; sleep 60'")).status).toEqual({
        kind: "exited",
        exitCode: 134,
      });
    });

    it("is reported when the step ends, also after it printed nothing for a while", async () => {
      await using place = await open();

      const { status, stdout } = await place.run("sleep 2; echo late; exit 5");

      expect([status, stdout]).toEqual([{ kind: "exited", exitCode: 5 }, "late\n"]);
    });

    it("is reported when the step ends, also after it closed its output long before", async () => {
      await using place = await open();

      expect((await place.run("exec >&- 2>&-; sleep 1; exit 4")).status).toEqual({ kind: "exited", exitCode: 4 });
    });

    it("does not wait for a daemon that holds the output open, and no process is left", async () => {
      await using place = await open();
      const token = uniqueSeconds();
      const started = Date.now();

      const { status, stdout } = await place.run(`sleep ${token} & setsid sleep ${token} & echo started; exit 0`);

      expect(status).toEqual({ kind: "exited", exitCode: 0 });
      expect(stdout).toBe("started\n");
      expect(Date.now() - started).toBeLessThan(10_000);
      expect(await hostProcesses(token)).toEqual([]);
    });

    it("reports a kill for lack of memory", async ({ skip }) => {
      skip(!tests.enforces.memory, "this host can't limit it");
      await using place = await open({ limits: { memoryBytes: 64 * 2 ** 20 } });

      const { status } = await place.run("tail /dev/zero");

      expect(status).toEqual({ kind: "killed", signal: "SIGKILL", outOfMemory: true });
      expect((await place.run("echo still usable")).stdout).toBe("still usable\n");
    });
  });

  describe("a step's output", () => {
    it("arrives in order, with stdout and stderr separate", async () => {
      await using place = await open();

      const { stdout, stderr } = await place.run("for i in 1 2 3; do echo out $i; echo err $i >&2; done");

      expect(stdout).toBe("out 1\nout 2\nout 3\n");
      expect(stderr).toBe("err 1\nerr 2\nerr 3\n");
    });

    it("is delivered byte for byte", async () => {
      await using place = await open();
      const bytes = randomBytes(1 << 20);

      const { stdoutBytes } = await place.run("cat /airlock/blob", {
        files: [{ path: "blob", content: bytes, executable: false }],
      });

      expect(stdoutBytes.equals(bytes)).toBe(true);
    });

    it("can be opened as /dev/stdout and /dev/stderr", async () => {
      await using place = await open();

      const { stdout, stderr } = await place.run("echo out > /dev/stdout; echo err > /dev/stderr");

      expect([stdout, stderr]).toEqual(["out\n", "err\n"]);
    });

    it("waits for a slow reader instead of filling memory", { concurrent: false }, async () => {
      await using place = await open();
      const total = 64 * 2 ** 20;
      const before = usedMemory();
      let received = 0;
      let measuredAt = 0;
      let peak = 0;
      let running = 0;

      const status = await place.start("head -c 67108864 /dev/zero", {
        output: async (_, bytes) => {
          running += 1;
          expect(running).toBe(1);
          received += bytes.length;
          await delay(1);
          // Not at each piece: collecting garbage takes milliseconds.
          if (received - measuredAt >= total / 16) {
            measuredAt = received;
            peak = Math.max(peak, usedMemory() - before);
          }
          running -= 1;
        },
      });

      expect(status).toEqual({ kind: "exited", exitCode: 0 });
      expect(received).toBe(total);
      expect(peak).toBeLessThan(48 * 2 ** 20);
    });

    it("ends the step with the reader's error if the reader throws", async () => {
      await using place = await open();
      const token = uniqueSeconds();
      const failure = new Error("the log is full");

      const running = place.start(`echo x; exec sleep ${token}`, { output: () => Promise.reject(failure) });

      await expect(running).rejects.toBe(failure);
      expect(await hostProcesses(token)).toEqual([]);
    });
  });
}

const collectGarbage = garbageCollector();

/** Memory that is in use: garbage does not count, of which a busy process has any amount. */
function usedMemory(): number {
  collectGarbage();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

function garbageCollector(): () => void {
  setFlagsFromString("--expose-gc");
  return runInNewContext("gc") as () => void;
}
