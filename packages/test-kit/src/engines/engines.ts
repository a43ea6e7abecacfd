import { describe, inject, it } from "vitest";
import type { EngineName, Engines } from "./engines-contract.ts";

export type { EngineName, Engines } from "./engines-contract.ts";

declare module "vitest" {
  export interface ProvidedContext {
    engines: Engines;
    /** Whether a missing engine is a failure instead of a skip. */
    enginesRequired: boolean;
  }
}

export function engines(): Engines {
  return inject("engines");
}

/**
 * Defines a suite that needs engines. If one is missing, the suite is skipped and its name in the summary tells why.
 * With `AIRLOCK_TEST_REQUIRE=all` it fails instead.
 */
export function describeWithEngines(
  names: readonly EngineName[],
  title: string,
  body: () => void,
  options: { readonly concurrent?: boolean; readonly timeout?: number } = {},
): void {
  const found = engines();
  const missing = names.filter((name) => found[name] === null);
  if (missing.length === 0) {
    describe(title, options, body);
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
