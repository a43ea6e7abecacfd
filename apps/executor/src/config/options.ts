import type { Hardening, ImagePolicy, RangeAllowRule, RegistryCredentials } from "@airlock/runtime";

/** What `main.ts` hands out: each component receives its own options and no more. */
export interface Config {
  /** Absolute; holds caches, images, state and workspaces. One executor at a time uses it. */
  readonly dataDir: string;
  readonly instance: InstanceOptions;
  readonly worker: WorkerOptions;
  readonly job: JobOptions;
  readonly workspace: WorkspaceOptions;
  readonly runtime: RuntimeOptions;
  readonly janitor: { readonly intervalMs: number };
  readonly health: { readonly host: string; readonly port: number } | null;
  readonly log: LogOptions;
  /** What is done about programs of the host that are known to be unsafe. */
  readonly minimumVersions: "warn" | "refuse";
  /** Whether payloads of jobs, without their secrets, are written to the executor's log. */
  readonly auditJobs: boolean;
  /** One sentence each on variables that are set and have no effect. */
  readonly notes: readonly string[];
}

export interface InstanceOptions {
  /** Ends with `/`. */
  readonly url: URL;
  readonly sharedSecret: string;
  readonly queues: QueueSelection;
}

/** One queue and several use different routes, and several add the queue to every job id on the wire. */
export type QueueSelection =
  | { readonly kind: "one"; readonly name: string }
  | { readonly kind: "several"; readonly names: readonly string[] };

export interface WorkerOptions {
  /** Jobs at once. */
  readonly slots: number;
  /** Wait after "no job" from an instance that does not hold the request open. */
  readonly pollIntervalMs: number;
  /** Stop after this many jobs; 0: never. */
  readonly totalJobs: number;
  /** Stop after this time; 0: never. */
  readonly maximumActiveMs: number;
  /** How long a drain waits for running jobs; `null`: until they end by themselves. 0: not at all. */
  readonly drainTimeoutMs: number | null;
  /** How long an instance that cannot be reached is waited for. */
  readonly deliveryTimeoutMs: number;
  readonly labels: Readonly<Record<string, string>>;
}

export interface JobOptions {
  readonly maximumRuntimeMs: number;
  readonly maximumCpus: number;
  readonly machineCpus: number;
  readonly maximumMemoryBytes: number;
  readonly maximumPids: number;
  /** Size of `/dev/shm` for jobs that ask for none. */
  readonly defaultShmBytes: number;
  /** Of workspace and what steps write elsewhere, together; what a job gets that asks for nothing. `null`: no limit. */
  readonly maximumDiskBytes: number | null;
  readonly egress: EgressOptions;
  readonly maximumLogBytes: number;
  /** 0: no limit. */
  readonly maximumLogBytesPerSecond: number;
  /** How long an instance that cannot be reached is waited for with a job's log. */
  readonly deliveryTimeoutMs: number;
  /** Of what a job leaves behind as files. */
  readonly outputs: { readonly maximumFiles: number; readonly maximumBytes: number; readonly maximumEntries: number };
  /** PEM file with certificate authorities that steps trust, too; `null`: none. */
  readonly stepCertificateFile: string | null;
  /** By registry host; a job's own win over them. */
  readonly registryCredentials: Readonly<Record<string, RegistryCredentials>>;
}

/** An administrator's decisions on the networks of jobs. */
export interface EgressOptions {
  /** Of a job that names no policy. `null`: `public` where it can be enforced, else `none`. */
  readonly default: "none" | "public" | null;
  /** What becomes of a job whose policy can't be enforced. */
  readonly unenforced: "refuse" | "none";
  /** Private addresses that allow-lists may open. */
  readonly openable: readonly RangeAllowRule[];
}

interface WorkspaceOptions {
  readonly keep: boolean;
  /** Whether a workspace may be a mount (overlay, disk image); `auto`: when the runtime is sure to see it. */
  readonly mounts: "auto" | "always" | "never";
  /** Mirrors and prepared checkouts together; what was used longest ago goes first. */
  readonly cacheBytes: number;
  readonly maximumCheckoutBytes: number;
  readonly maximumCheckoutFiles: number;
  readonly maximumCheckoutMs: number;
  /** Submodules of a job's repository: not at all, its own, or also theirs. */
  readonly submodules: { readonly fetch: "none" | "direct" | "recursive"; readonly allowedHosts: readonly string[] };
  /** Git LFS of a job's own repository. */
  readonly lfs: { readonly fetch: boolean; readonly allowedHosts: readonly string[] };
  /** Where host commands are looked for. */
  readonly path: string;
  /** PEM file with further certificate authorities, for git. */
  readonly certificateFile: string | null;
}

interface RuntimeOptions {
  readonly kind: "auto" | "docker" | "oci";
  readonly dockerHost: string | null;
  /** An OCI runtime by the Docker engine's name for it; `null`: the engine's default. */
  readonly dockerRuntime: string | null;
  readonly allowHostImage: boolean;
  readonly addHostGateway: boolean;
  readonly egress: {
    /** Ranges that no policy opens. */
    readonly closed: readonly string[];
    /** `null`: the runtime's default. */
    readonly pool: string | null;
    /** `null`: the machine's. */
    readonly nameServers: readonly { readonly address: string; readonly port: number }[] | null;
  };
  readonly oci: {
    /** `crun`, `runc`, `runsc`, or an absolute path; `null`: the first that is installed. */
    readonly program: string | null;
    /** Host ids of users in sandboxes. */
    readonly idRange: { readonly base: number; readonly size: number };
    readonly gvisor: { readonly platform: string | null; readonly network: "host" | "sandbox" };
  };
  readonly hardening: Hardening;
  readonly images: RuntimeImageOptions;
  /** Where credentials of registries are looked for, too; `null` where they were given in the environment. */
  readonly dockerConfigFile: string | null;
}

/** Which images jobs may use, and how they are got. */
interface RuntimeImageOptions {
  readonly policy: ImagePolicy;
  /** Caches of docker.io. */
  readonly mirrors: readonly URL[];
  /** `null`: no bound. */
  readonly cacheBytes: number | null;
  /** Absolute path. */
  readonly certificatesDirectory: string;
}

export interface LogOptions {
  readonly level: "debug" | "info" | "warn" | "error" | "fatal";
  readonly format: "condensed" | "json";
}
