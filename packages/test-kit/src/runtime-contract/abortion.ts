import { describe, expect, it } from "vitest";
import type { ContractTests } from "./contract-tests.ts";
import { hostProcesses, uniqueSeconds } from "./host-processes.ts";

/** Tests the contract about the abortion of a step. Part of `describeRuntime`. */
export function describeAbortion(tests: ContractTests): void {
  const { open } = tests;
  describe("abortion", () => {
    it("ends a step that handles SIGTERM at once, and reports the abort reason", async () => {
      await using place = await open();
      const reason = new Error("canceled by the user");
      const stop = new AbortController();
      const output: string[] = [];

      const running = place.start("trap 'echo tidying; exit 0' TERM; echo ready; while :; do sleep 0.2; done", {
        signal: stop.signal,
        output: (stream, bytes) => {
          // Shells report on stderr which of their commands was killed by a signal.
          if (stream === "stdout") output.push(bytes.toString());
          if (output.join("").includes("ready")) stop.abort(reason);
        },
      });
      const started = Date.now();

      await expect(running).rejects.toBe(reason);
      expect(output.join("")).toBe("ready\ntidying\n");
      expect(Date.now() - started).toBeLessThan(5000);
    });

    it("kills a step that ignores SIGTERM after the grace period, with all its processes", async () => {
      await using place = await open();
      const token = uniqueSeconds();
      const reason = new Error("too slow");
      const stop = new AbortController();

      const running = place.start(
        `trap '' TERM; (trap '' TERM; sleep ${token}) & setsid sh -c "trap '' TERM; sleep ${token}; true" & echo ready
         while :; do sleep ${token}; done`,
        { signal: stop.signal, output: () => stop.abort(reason) },
      );
      const started = Date.now();

      await expect(running).rejects.toBe(reason);
      expect(Date.now() - started).toBeLessThan(11_000);
      expect(await hostProcesses(token)).toEqual([]);
    });

    it("does not run the rest of a script whose current command it ended", async () => {
      await using place = await open();
      const stop = new AbortController();
      const token = uniqueSeconds();

      const running = place.start(`echo ready; sleep ${token}; echo went on > /data/after`, {
        signal: stop.signal,
        output: () => stop.abort(new Error("stop")),
      });

      await expect(running).rejects.toThrow("stop");
      expect(await place.list()).toEqual([]);
    });

    it("starts nothing if it came before the step", async () => {
      await using place = await open();
      const reason = new Error("not at all");

      await expect(place.start("touch /data/ran", { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
      expect(await place.list()).toEqual([]);
    });
  });
}
