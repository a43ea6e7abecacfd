import { describe, inject, type SuiteAPI } from "vitest";

/**
 * Real engines that `npm test` starts once for the whole run (see global-setup.ts). `null` means: not on this machine;
 * the reason stands in `missing`.
 */
export interface Engines {
  /** Unix socket of a private Docker daemon, e.g. `/tmp/…/docker.sock`. */
  readonly docker: { readonly socketPath: string } | null;
  /** Absolute path of `crun` or `runc`, in this order. */
  readonly oci: { readonly runtimePath: string } | null;
  /** A registry (Docker distribution) without authentication, `HOST:PORT`, reached by host and Docker daemon alike. */
  readonly registry: { readonly address: string } | null;
  /** A PostgreSQL server from the distribution; the user may create databases. */
  readonly postgres: { readonly url: string } | null;
  /** Absolute path of Chromium. */
  readonly chromium: { readonly executablePath: string } | null;
  /** Why an engine is not there, by its name. */
  readonly missing: Readonly<Record<string, string>>;
}

export type EngineName = Exclude<keyof Engines, "missing">;

declare module "vitest" {
  export interface ProvidedContext {
    engines: Engines;
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
  const suite: SuiteAPI = describe;
  suite.skipIf(true)(`${title} [needs ${why}]`, body);
}
