import { setTimeout as delay } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import type { Workplace, WorkplaceOptions } from "./workplace.ts";

/** Lines that fit into a pipe, so that most of them are on their way when the script ends. */
const lateLines = 1000;

/** Has a process that is slower than the script pass on what that prints. */
const throughAnotherProcess = `mkfifo /tmp/late; while read -r line; do echo "$line"; done </tmp/late & exec >/tmp/late`;

/** What every runtime owes its callers about the end of a step. Part of `describeRuntime`. */
export function describeEndings(open: (options?: Partial<WorkplaceOptions>) => Promise<Workplace>): void {
  describe("the end of a step's output", () => {
    it("arrives when another process of the step passes it on", async () => {
      await using place = await open();

      const { status, stdout } = await place.run(
        `${throughAnotherProcess}; seq 1 ${lateLines}; echo why it failed; exit 3`,
      );

      expect(status).toEqual({ kind: "exited", exitCode: 3 });
      expect(stdout.split("\n").length).toBe(lateLines + 2);
      expect(stdout.slice(-30)).toContain("why it failed\n");
    });

    it("arrives when tee passes it on, as with bash's `exec > >(tee log)`", async () => {
      await using place = await open();

      const { stdout } = await place.run("mkfifo /tmp/late; tee /tmp/log </tmp/late & exec >/tmp/late; seq 1 20000");

      expect(stdout.split("\n").length).toBe(20_001);
    });

    it("arrives on both streams, through several processes", async () => {
      await using place = await open();

      const { stdout, stderr } = await place.run(
        `mkfifo /tmp/out /tmp/err; cat </tmp/out | cat & cat </tmp/err | cat >&2 &
         exec >/tmp/out 2>/tmp/err; seq 1 5000; seq 1 5000 >&2`,
      );

      expect([stdout, stderr].map((text) => text.split("\n").length)).toEqual([5001, 5001]);
    });

    it("arrives at a slow reader", { concurrent: false }, async () => {
      await using place = await open();
      let lines = 0;
      let taken = 0;

      await place.start(`${throughAnotherProcess}; seq 1 ${lateLines}`, {
        output: async (_, bytes) => {
          lines += bytes.toString().split("\n").length - 1;
          // Some 30 kB a second.
          if (taken + bytes.length > 3000) await delay(100);
          taken = (taken + bytes.length) % 3000;
        },
      });

      expect(lines).toBe(lateLines);
    });

    it("does not delay the result for long if a daemon goes on printing", async () => {
      await using place = await open();
      const started = Date.now();

      const { status, stdout } = await place.run("(while :; do echo tick; sleep 0.05; done) & sleep 0.2; exit 0");

      expect(status).toEqual({ kind: "exited", exitCode: 0 });
      expect(stdout).toContain("tick\n");
      expect(Date.now() - started).toBeLessThan(15_000);
      expect(await place.list()).toEqual([]);
    });
  });

  describe("the grace period of an aborted step", () => {
    const finishing = `trap 'sleep 2; echo finished > /data/finished; exit 0' TERM; echo ready; while :; do sleep 0.1; done`;
    it.each([
      ["the last program of the script", `sh -c "${finishing}"; true`],
      ["a process in the background", `sh -c "${finishing}" & wait; true`],
      ["a daemon", `setsid sh -c "${finishing}" & sleep 1000; true`],
    ])("lets %s finish", async (_, script) => {
      await using place = await open();
      const reason = new Error("canceled by the user");
      const stop = new AbortController();
      let printed = "";

      const running = place.start(script, {
        signal: stop.signal,
        output: (_stream, bytes) => {
          printed += bytes.toString();
          if (printed.includes("ready") && !stop.signal.aborted) stop.abort(reason);
        },
      });

      await expect(running).rejects.toBe(reason);
      expect(await place.read("finished")).toBe("finished\n");
    });

    it("includes the output of a process that finishes at once", async () => {
      await using place = await open();
      const stop = new AbortController();
      let printed = "";

      const running = place.start(
        `sh -c "trap 'echo finished; exit 0' TERM; echo ready; while :; do sleep 0.1; done" & wait; true`,
        {
          signal: stop.signal,
          output: (_stream, bytes) => {
            printed += bytes.toString();
            if (printed.includes("ready") && !stop.signal.aborted) stop.abort(new Error("enough"));
          },
        },
      );

      await expect(running).rejects.toThrow("enough");
      expect(printed).toContain("finished\n");
    });

    it("ends with the last process", async () => {
      await using place = await open();
      const stop = new AbortController();
      let endedAt = 0;

      const running = place.start("sleep 1000 & sleep 1000 & echo ready; wait", {
        signal: stop.signal,
        output: () => {
          endedAt = Date.now();
          stop.abort(new Error("enough"));
        },
      });

      await expect(running).rejects.toThrow("enough");
      expect(Date.now() - endedAt).toBeLessThan(4500);
    });
  });
}
