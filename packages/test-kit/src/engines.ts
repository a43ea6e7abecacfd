import { describe, inject, it } from "vitest";
import type { EngineName, Engines } from "./engines-contract.ts";

export type { EngineName, Engines } from "./engines-contract.ts";

declare module "vitest" {
  export interface ProvidedContext {
    engines: Engines;
    /** A missing engine is a failure, not a skip. */
    enginesRequired: boolean;
  }
}

export function engines(): Engines {
  return inject("engines");
}

/**
 * A suite that needs engines. Without one of them it is skipped, and its name in the closing summary says why; with
 * `AIRLOCK_TEST_REQUIRE=all` it fails instead.
 */
export function describeWithEngines(names: readonly EngineName[], title: string, body: () => void): void {
  const found = engines();
  const missing = names.filter((name) => found[name] === null);
  if (missing.length === 0) {
    describe(title, body);
    return;
  }
  const why = missing.map((name) => `${name}: ${found.missing[name] ?? "not available"}`).join("; ");
  if (inject("enginesRequired")) {
    describe(title, () => {
      it("has the engines that it needs", () => {
        throw new Error(`missing ${why}`);
      });
    });
    return;
  }
  describe.skipIf(true)(`${title} [needs ${why}]`, body);
}
