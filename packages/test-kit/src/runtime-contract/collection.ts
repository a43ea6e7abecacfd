import { describe, expect, it } from "vitest";
import type { ContractTests } from "./contract-tests.ts";
import { hostProcesses, uniqueSeconds, until } from "./host-processes.ts";

const never = new AbortController().signal;

/** Tests the contract about the end of a sandbox and the collection of abandoned ones. Part of `describeRuntime`. */
export function describeCollection(tests: ContractTests): void {
  const { open } = tests;
  // One test collects all sandboxes of the suite except its own.
  describe("the end of a sandbox", { concurrent: false }, () => {
    it("leaves nothing behind, and may be requested twice", async () => {
      const token = uniqueSeconds();
      const place = await open();
      const running = place.start(`sleep ${token}`);
      running.catch(() => {});
      await until(async () => (await hostProcesses(token)).length > 0);

      await place.sandbox[Symbol.asyncDispose]();
      await place.sandbox[Symbol.asyncDispose]();

      await expect(running).rejects.toThrow();
      expect(await hostProcesses(token)).toEqual([]);
      expect(
        await tests.subject.runtime.collect({ owner: tests.subject.owner, keep: new Set(), signal: never }),
      ).toMatchObject({
        sandboxes: 0,
      });
      await place[Symbol.asyncDispose]();
    });

    it("is caught up by collecting abandoned sandboxes, and only those", async () => {
      const [abandonedToken, keptToken] = [uniqueSeconds(), uniqueSeconds()];
      await using abandoned = await open();
      await using kept = await open();
      const stop = new AbortController();
      const lost = abandoned.start(`sleep ${abandonedToken}`);
      lost.catch(() => {});
      const running = kept.start(`sleep ${keptToken}`, { signal: stop.signal });
      running.catch(() => {});
      for (const token of [abandonedToken, keptToken]) await until(async () => (await hostProcesses(token)).length > 0);

      const foreign = await tests.subject.runtime.collect({ owner: "somebody-else", keep: new Set(), signal: never });
      const own = await tests.subject.runtime.collect({
        owner: tests.subject.owner,
        keep: new Set([kept.sandbox.id]),
        signal: never,
      });

      expect(foreign.sandboxes).toBe(0);
      expect(own.sandboxes).toBe(1);
      expect(await hostProcesses(abandonedToken)).toEqual([]);
      expect(await hostProcesses(keptToken)).not.toEqual([]);
      stop.abort(new Error("done"));
      await expect(running).rejects.toThrow("done");
      await Promise.allSettled([lost]);
    });
  });
}
