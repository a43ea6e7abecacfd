/**
 * Real engines that `npm test` starts once for the whole run. `null`: not available on this machine; `missing` has the
 * reason.
 */
export interface Engines {
  /** Unix socket of a private Docker daemon, e.g. `/tmp/…/docker.sock`, and its network namespace. */
  readonly docker: { readonly socketPath: string; readonly networkNamespace: string } | null;
  /** Absolute path of `crun` or `runc`, in this order. */
  readonly oci: { readonly runtimePath: string } | null;
  /**
   * A registry (Docker distribution) without authentication at `HOST:PORT`, reachable from the host and from the Docker
   * daemon.
   */
  readonly registry: { readonly address: string } | null;
  /** The distribution's PostgreSQL server. The user may create databases. */
  readonly postgres: { readonly url: string } | null;
  /** Object storage with the S3 API over plain HTTP, buckets in the path. The account may create buckets. */
  readonly s3: {
    readonly endpoint: string;
    readonly region: string;
    readonly accessKeyId: string;
    readonly secretAccessKey: string;
  } | null;
  /** Root privileges, and a kernel and tools (nft, ip) that support network namespaces with their own rules. */
  readonly network: { readonly nftPath: string } | null;
  /**
   * Images of a Debian with a compiler, git, Python and Node. They may still be under construction: `debianFixture`
   * waits for them.
   */
  readonly debian: { readonly directory: string } | null;
  /** Root privileges, and the programs that make a guest and run it. Absolute path of QEMU for x86. */
  readonly microvm: { readonly qemuPath: string } | null;
  /**
   * Root privileges, Go, and the programs of a Kubernetes node. `kubernetesCluster` starts the cluster, which all suites
   * share.
   */
  readonly kubernetes: { readonly directory: string } | null;
  /** Absolute path of Chromium. */
  readonly chromium: { readonly executablePath: string } | null;
  /** Why an engine is not available, by its name. */
  readonly missing: Readonly<Record<string, string>>;
}

export const engineNames = [
  "docker",
  "oci",
  "registry",
  "postgres",
  "s3",
  "network",
  "debian",
  "microvm",
  "kubernetes",
  "chromium",
] as const;

export type EngineName = (typeof engineNames)[number];

/**
 * Parses a comma-separated list such as `docker,registry`. No list means all engines.
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
