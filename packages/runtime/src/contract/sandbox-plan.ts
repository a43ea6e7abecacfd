import type { EgressPolicy } from "@airlock/job";
import type { EgressDenial } from "./egress-denial.ts";
import type { SandboxService } from "./sandbox-service.ts";
import type { WorkspacePlan } from "./workspace.ts";

export interface SandboxPlan {
  /**
   * Unique on the machine. `[a-z0-9-]`, at most 60 characters. Part of the name of everything that the sandbox creates.
   */
  readonly id: string;
  /** The executor that cleans up after a crash. Stays the same when it restarts. `[a-z0-9-]`, at most 40 characters. */
  readonly owner: string;
  readonly workspace: WorkspacePlan;
  readonly limits: SandboxLimits;
  readonly egress: EgressPolicy;
  /**
   * Ports on the sandbox's own 127.0.0.1 that the caller answers. Every step reaches them whatever the egress policy is,
   * and no other sandbox does. Default: none.
   */
  readonly services?: readonly SandboxService[];
  /**
   * Whether steps get a Docker daemon of their own, which lives as long as the sandbox. Its containers are bound by the
   * sandbox's egress policy and disk limit. Default: false.
   */
  readonly docker?: boolean;
  /** Settings of that daemon. Default: its own. */
  readonly dockerDaemon?: DockerDaemonSettings;
  /**
   * The job's own registry credentials by `HOST[:PORT]` (`docker.io` for Docker Hub). They take precedence over the
   * runtime's. The host uses them to pull images; they are never visible in the sandbox. An image that was pulled with
   * credentials is given to another job only if that job's credentials may read it too. Default: none.
   */
  readonly registryAuth?: Readonly<Record<string, RegistryCredentials>>;
  /**
   * Called once per distinct destination or name that the egress policy denied, at most 100 times. Denials during a
   * step are reported before its `runStep` settles. Default: not reported.
   */
  readonly onEgressDenied?: (denial: EgressDenial) => void;
  /**
   * Called with a sentence when the sandbox waits for something that takes long, e.g. a node with room, or the start of
   * a Docker daemon. Default: not reported.
   */
  readonly onWait?: (reason: string) => void;
}

/** Settings of the administrator for the Docker daemon of a sandbox. Steps can read them, so they hold no credentials. */
export interface DockerDaemonSettings {
  /** Pull-through caches of docker.io: `http://HOST[:PORT]` or `https://HOST[:PORT]`. */
  readonly registryMirrors: readonly string[];
  /** Variables of the daemon's process. `/airlock` has `WorkspacePlan.readOnlyFiles`, as in steps. */
  readonly environment: Readonly<Record<string, string>>;
}

export interface RegistryCredentials {
  /** Empty if there is only a token. */
  readonly username: string;
  readonly password: string;
  /** Sent to the registry's token service in place of a password (an OAuth2 refresh token). */
  readonly identityToken?: string;
  /** Sent to the registry itself as a bearer token, without a token service. */
  readonly registryToken?: string;
}

/** Limits of the whole sandbox, across all its steps. */
export interface SandboxLimits {
  /** Number of cores, e.g. 0.5. */
  readonly cpus: number;
  /** Memory and swap together. */
  readonly memoryBytes: number;
  readonly pids: number;
  /** Size of `/dev/shm`, whose content counts as memory. Default: 64 MiB, or all of the memory if that is less. */
  readonly shmBytes?: number;
  /**
   * Size of the workspace plus what steps write elsewhere. `RuntimeDescription.enforces.disk` tells how it is enforced.
   * Default: no limit.
   */
  readonly diskBytes?: number;
}
