import type { AllowRule } from "@airlock/job";
import type { Proxies } from "@airlock/proxy";
import type { Hardening, ImagePolicy, RangeAllowRule, RegistryCredentials, UnenforcedLimits } from "@airlock/runtime";
import type { PodOptions } from "@airlock/runtime/kubernetes";

/** The whole configuration. `main.ts` gives each component only its own options. */
export interface Config {
  /** Absolute path. Holds caches, images, state and workspaces. Only one executor at a time may use it. */
  readonly dataDir: string;
  /** The ways of the executor's own connections. */
  readonly proxies: Proxies;
  readonly instance: InstanceOptions;
  readonly worker: WorkerOptions;
  readonly job: JobOptions;
  readonly workspace: WorkspaceOptions;
  readonly runtime: RuntimeOptions;
  readonly janitor: { readonly intervalMs: number };
  readonly health: { readonly host: string; readonly port: number } | null;
  readonly log: LogOptions;
  /** What to do about programs of the host that are known to be unsafe. */
  readonly minimumVersions: "warn" | "refuse";
  /** Whether the payload of each job, without its secrets, is written to the executor's log. */
  readonly auditJobs: boolean;
  /** One sentence for each variable that is set but has no effect. */
  readonly notes: readonly string[];
}

export interface InstanceOptions {
  /** Ends with `/`. */
  readonly url: URL;
  readonly sharedSecret: string;
  readonly proxies: Proxies;
  readonly queues: QueueSelection;
}

/** A single queue and several queues use different routes. With several, each job id on the wire includes its queue. */
export type QueueSelection =
  | { readonly kind: "one"; readonly name: string }
  | { readonly kind: "several"; readonly names: readonly string[] };

export interface WorkerOptions {
  /** Maximum number of jobs at once. */
  readonly slots: number;
  /** Wait after "no job" from an instance that does not hold the request open. */
  readonly pollIntervalMs: number;
  /** Stop after this many jobs; 0: never. */
  readonly totalJobs: number;
  /** Stop after this time; 0: never. */
  readonly maximumActiveMs: number;
  /** How long a drain waits for running jobs. `null`: until they end. 0: not at all. */
  readonly drainTimeoutMs: number | null;
  /** How long to wait for an unreachable instance. */
  readonly deliveryTimeoutMs: number;
  readonly labels: Readonly<Record<string, string>>;
}

export interface JobOptions {
  readonly maximumRuntimeMs: number;
  readonly maximumCpus: number;
  readonly machineCpus: number;
  readonly maximumMemoryBytes: number;
  readonly maximumPids: number;
  /** Size of `/dev/shm` for jobs that don't request one. */
  readonly defaultShmBytes: number;
  /**
   * Disk for the workspace and everything else that steps write, together. Default and maximum of a job. `null`: no
   * limit.
   */
  readonly maximumDiskBytes: number | null;
  readonly egress: EgressOptions;
  readonly maximumLogBytes: number;
  /** 0: no limit. */
  readonly maximumLogBytesPerSecond: number;
  /** How long to wait for an unreachable instance when delivering a job's log. */
  readonly deliveryTimeoutMs: number;
  /** Limits for the files that a job keeps as outputs. */
  readonly outputs: { readonly maximumFiles: number; readonly maximumBytes: number; readonly maximumEntries: number };
  /** PEM file with certificate authorities that steps trust in addition; `null`: no file. */
  readonly stepCertificateFile: string | null;
  /** Pull-through caches of docker.io for the Docker daemons of jobs. */
  readonly registryMirrors: readonly URL[];
  /** The proxy that steps are told about; `null`: none. */
  readonly stepProxy: StepProxy | null;
  /** By registry host. The job's own credentials take precedence. */
  readonly registryCredentials: Readonly<Record<string, RegistryCredentials>>;
}

/** A proxy for the programs of steps. */
export interface StepProxy {
  /** Without credentials. */
  readonly url: string;
  /** What the egress policy of a job must allow. */
  readonly destination: AllowRule;
  /** Value of `NO_PROXY` in steps. */
  readonly noProxy: string;
}

/** The administrator's settings for the networks of jobs. */
export interface EgressOptions {
  /** Policy of jobs that name none. `null`: `public` where the executor can enforce it, else `none`. */
  readonly default: "none" | "public" | null;
  /** What happens to a job whose policy can't be enforced. */
  readonly unenforced: "refuse" | "none";
  /** Private addresses that allow-lists of jobs may open. */
  readonly openable: readonly RangeAllowRule[];
}

interface WorkspaceOptions {
  readonly keep: boolean;
  /**
   * Whether a workspace may be a mount (overlay, disk image). `auto`: only when the runtime is certain to see the
   * mount.
   */
  readonly mounts: "auto" | "always" | "never";
  /** Limit for mirrors and prepared checkouts together. The least recently used ones are removed first. */
  readonly cacheBytes: number;
  readonly maximumCheckoutBytes: number;
  readonly maximumCheckoutFiles: number;
  readonly maximumCheckoutMs: number;
  /** Which submodules to fetch: none, those of the job's repository, or also those of submodules. */
  readonly submodules: { readonly fetch: "none" | "direct" | "recursive"; readonly allowedHosts: readonly string[] };
  /** Git LFS for the job's own repository. */
  readonly lfs: { readonly fetch: boolean; readonly allowedHosts: readonly string[] };
  /** Search path for programs on the host. */
  readonly path: string;
  /** PEM file with additional certificate authorities, for git. */
  readonly certificateFile: string | null;
}

interface RuntimeOptions {
  readonly kind: "auto" | "docker" | "oci" | "microvm" | "kubernetes";
  readonly dockerHost: string | null;
  /** The Docker engine's name for an OCI runtime; `null`: the engine's default. */
  readonly dockerRuntime: string | null;
  readonly allowHostImage: boolean;
  /** What happens to jobs if the runtime can't enforce a limit of CPU, memory or processes. */
  readonly unenforcedLimits: UnenforcedLimits;
  readonly addHostGateway: boolean;
  readonly egress: {
    /** Address ranges that no policy opens. */
    readonly closed: readonly string[];
    /** `null`: the runtime's default. */
    readonly pool: string | null;
    /** `null`: the machine's own name servers. */
    readonly nameServers: readonly { readonly address: string; readonly port: number }[] | null;
  };
  readonly oci: {
    /** `crun`, `runc`, `runsc`, or an absolute path; `null`: the first one that is installed. */
    readonly program: string | null;
    /** Host ids that stand for the users in sandboxes. `null`: the runtime's default. */
    readonly ids: { readonly base: number; readonly size: number } | null;
    readonly idsPerSandbox: number;
    readonly gvisor: { readonly platform: string | null; readonly network: "host" | "sandbox" };
  };
  readonly microvm: {
    /** Absolute path of QEMU; `null`: the one on the system's search path. */
    readonly qemu: string | null;
    /** Absolute paths of Firecracker and its jailer; `null`: those on the system's search path. */
    readonly firecracker: string | null;
    readonly jailer: string | null;
    readonly monitor: "auto" | "firecracker" | "qemu";
    readonly accelerator: "auto" | "kvm" | "tcg";
    /** Greatest number of machines that wait for jobs. */
    readonly poolSize: number;
    /** What one machine may receive (`ingress`) and send, in bytes per second. */
    readonly bandwidth: { readonly ingress: number; readonly egress: number };
    /** Begins the names of machines. */
    readonly namePrefix: string;
    /** Absolute path of a script that runs in each machine before the first step. */
    readonly startupScriptFile: string | null;
  };
  readonly kubernetes: KubernetesOptions;
  readonly hardening: Hardening;
  readonly images: RuntimeImageOptions;
  /** Docker's configuration file with registry credentials; `null` when the environment has credentials. */
  readonly dockerConfigFile: string | null;
}

/** The pods of the kubernetes runtime. */
export interface KubernetesOptions {
  /** Absolute path. `null`: `~/.kube/config`, else the service account of this pod. */
  readonly kubeconfig: string | null;
  readonly namespace: string;
  /** How long a pod may wait for a node. */
  readonly schedulingMs: number;
  /** How long a pod's agent may take to start on its node. */
  readonly startingMs: number;
  /** What happens to jobs whose pods reach what their policy closes. */
  readonly openNetworks: "refuse" | "allow";
  readonly pods: PodOptions;
}

/** Which images jobs may use, and how the executor gets them. */
interface RuntimeImageOptions {
  readonly policy: ImagePolicy;
  /** Pull-through caches of docker.io. */
  readonly mirrors: readonly URL[];
  /** Maximum size of the image cache; `null`: no limit. */
  readonly cacheBytes: number | null;
  /** Absolute path. */
  readonly certificatesDirectory: string;
}

export interface LogOptions {
  readonly level: "debug" | "info" | "warn" | "error" | "fatal";
  readonly format: "condensed" | "json";
}
