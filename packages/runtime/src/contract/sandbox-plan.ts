import type { EgressPolicy } from "@airlock/job";
import type { EgressDenial } from "./egress-denial.ts";
import type { WorkspacePlan } from "./workspace.ts";

export interface SandboxPlan {
  /** Unique on the machine, `[a-z0-9-]`, at most 60 characters; names everything that the sandbox makes. */
  readonly id: string;
  /** Whoever must collect what a crash leaves: stable over restarts of one executor. `[a-z0-9-]`, at most 40 characters. */
  readonly owner: string;
  readonly workspace: WorkspacePlan;
  readonly limits: SandboxLimits;
  readonly egress: EgressPolicy;
  /**
   * The job's own registry credentials by `HOST[:PORT]` (`docker.io` for the hub); they win over the runtime's. Used by
   * the host to get images, never visible in the sandbox. An image that took credentials to get is given to another job
   * only when that one's credentials may read it, too. Default: none.
   */
  readonly registryAuth?: Readonly<Record<string, RegistryCredentials>>;
  /**
   * Told once for each distinct destination or name that the egress policy denied, at most 100 times; what a step was
   * denied is told before its `runStep` settles. Default: nobody.
   */
  readonly onEgressDenied?: (denial: EgressDenial) => void;
}

export interface RegistryCredentials {
  /** Empty where there is only a token. */
  readonly username: string;
  readonly password: string;
  /** What the registry's token service takes in place of a password (an OAuth2 refresh token). */
  readonly identityToken?: string;
  /** What the registry itself takes, as it is, without a token service. */
  readonly registryToken?: string;
}

/** For the whole sandbox, over all its steps. */
export interface SandboxLimits {
  /** Cores, e.g. 0.5. */
  readonly cpus: number;
  /** Memory and swap together. */
  readonly memoryBytes: number;
  readonly pids: number;
  /** Size of `/dev/shm`, whose content counts as memory. Default: 64 MiB, or all of the memory where that is less. */
  readonly shmBytes?: number;
  /**
   * Workspace and what steps write elsewhere, together; see `RuntimeDescription.enforces.disk` for how it is held.
   * Default: no limit.
   */
  readonly diskBytes?: number;
}
