/**
 * Real engines that `npm test` starts once for the whole run. `null` means: not on this machine; the reason stands in
 * `missing`.
 */
export interface Engines {
  /** Unix socket of a private Docker daemon, e.g. `/tmp/…/docker.sock`, and the network namespace that it lives in. */
  readonly docker: { readonly socketPath: string; readonly networkNamespace: string } | null;
  /** Absolute path of `crun` or `runc`, in this order. */
  readonly oci: { readonly runtimePath: string } | null;
  /** A registry (Docker distribution) without authentication, `HOST:PORT`, reached by host and Docker daemon alike. */
  readonly registry: { readonly address: string } | null;
  /** A PostgreSQL server from the distribution; the user may create databases. */
  readonly postgres: { readonly url: string } | null;
  /** Object storage that speaks S3's API, plain HTTP, buckets named in the path; the account may create buckets. */
  readonly s3: {
    readonly endpoint: string;
    readonly region: string;
    readonly accessKeyId: string;
    readonly secretAccessKey: string;
  } | null;
  /** Root, and a kernel and tools (nft, ip) that make network namespaces with rules of their own. */
  readonly network: { readonly nftPath: string } | null;
  /**
   * Images of a Debian with a compiler, git, Python and Node. It may still be in the making: `debianFixture` waits for it.
   */
  readonly debian: { readonly directory: string } | null;
  /** Absolute path of Chromium. */
  readonly chromium: { readonly executablePath: string } | null;
  /** Why an engine is not there, by its name. */
  readonly missing: Readonly<Record<string, string>>;
}

export const engineNames = ["docker", "oci", "registry", "postgres", "s3", "network", "debian", "chromium"] as const;

export type EngineName = (typeof engineNames)[number];

/**
 * Parses a comma list such as `docker,registry`; nothing means all.
 * @throws {Error} that names an unknown engine.
 */
export function parseEngineNames(list: string | undefined): ReadonlySet<EngineName> {
  if (!list) return new Set(engineNames);
  return new Set(
    list.split(",").map((text) => {
      const name = engineNames.find((known) => known === text.trim());
      if (!name) throw new Error(`AIRLOCK_TEST_ENGINES: unknown engine "${text}"; known: ${engineNames.join(", ")}`);
      return name;
    }),
  );
}
