import type { Abortable } from "./abortable.ts";
import type { Sandbox } from "./sandbox.ts";
import type { SandboxPlan } from "./sandbox-plan.ts";
import type { FileOwner } from "./workspace.ts";

/**
 * A technology that isolates the steps of a job. Code outside this package does not know which one is used.
 *
 * All methods except `close` may overlap each other and any use of the runtime's sandboxes. Call `close` when every
 * sandbox has been disposed of and no other call is pending.
 */
export interface Runtime {
  /** Name of the technology: `docker`, `oci`, … */
  readonly name: string;

  /** Describes the runtime and what it can enforce. Called at start and by `validate`. Changes only with the host. */
  describe(options: Abortable): Promise<RuntimeDescription>;

  /**
   * Creates the sandbox of one job: workspace, network, limits. Pulls no image.
   * @throws {AirlockError} reason `policy` when this host can't enforce what the plan requests; `checkout-invalid` when
   * the plan's files don't fit into the workspace or their paths are taken; `runtime` when the technology fails.
   * @throws `signal.reason` when aborted. No failure leaves anything behind.
   */
  createSandbox(plan: SandboxPlan, options: Abortable): Promise<Sandbox>;

  /**
   * Removes what is left of `owner`'s sandboxes that are not in `keep`. Called at start, to clean up after a crash, and
   * every minute. Leftovers are identified by labels and by names that contain the owner, never by guessing. A failure
   * does not stop the rest: the promise rejects at the end, and the next call tries again.
   */
  collect(options: { readonly owner: string; readonly keep: ReadonlySet<string> } & Abortable): Promise<Collected>;

  /**
   * Removes the least recently used images until the rest fits the limit that the runtime was created with. Called
   * every minute, while jobs run. Never removes an image that a sandbox uses or that another program added. Also removes
   * other files that updates have left and no process uses.
   * @returns one sentence per removal; empty if the runtime stores no images.
   */
  evictImages(options: Abortable): Promise<readonly string[]>;

  /**
   * Whether the technology answers at all. While it does not, as an engine that restarts, an executor takes no jobs.
   * Absent: it always does.
   */
  answers?(options: Abortable): Promise<boolean>;

  /**
   * Keeps sandboxes prepared in the background, so that jobs find theirs ready. The first ones are for jobs like
   * `like`, and later ones for jobs like the last ones. Called at most once per owner. Absent: sandboxes start quickly
   * enough.
   */
  keepReady?(options: KeepReady): ReadySandboxes;

  /** Releases the runtime's own resources (connections, helper processes, sandboxes that wait for jobs). */
  close(): Promise<void>;
}

export interface KeepReady {
  readonly owner: string;
  /** Greatest number of sandboxes that wait for a job, at least 1. */
  readonly count: number;
  readonly like: Pick<SandboxPlan, "limits" | "egress">;
}

/** Sandboxes that wait for jobs. Disposing ends them, and prepares no more. */
export interface ReadySandboxes extends AsyncDisposable {
  readonly counts: ReadyCounts;
}

export interface ReadyCounts {
  /** Number of sandboxes that wait for a job. */
  readonly ready: number;
  /** Number of jobs that found their sandbox ready. Only grows. */
  readonly hits: number;
  /** Number of jobs that did not. Only grows. */
  readonly misses: number;
}

export interface RuntimeDescription {
  /** Version of the engine or OCI runtime, e.g. `20.10.24` or `crun 1.8.1`. */
  readonly version: string;
  /**
   * The host's programs that the runtime consists of, by their plain names (`runc`, `crun`, `runsc`, `containerd`).
   * Default: none known.
   */
  readonly components?: readonly { readonly name: string; readonly version: string }[];
  /** What this host enforces. `validate` prints it. A plan that needs more is refused. */
  readonly enforces: {
    readonly cpu: boolean;
    readonly memory: boolean;
    readonly pids: boolean;
    readonly egressNone: boolean;
    readonly egressPublic: boolean;
    readonly egressAllow: boolean;
    /** How the disk limit is enforced for what steps write outside the workspace. */
    readonly disk: "file-system" | "watcher" | "none";
  };
  /**
   * The owner (host ids) with which a checkout is fastest to use: files of this owner need no chown. `null`: the ids of
   * this process. Any other owner works too.
   */
  readonly checkoutOwner: FileOwner | null;
  /**
   * Whether the runtime mounts `WorkspacePlan.checkoutLayers` itself. It can give files owners of its own only in
   * mounts of directories, not in an overlay that the caller mounted. Default: false.
   */
  readonly mountsCheckoutLayers?: boolean;
  /** Why policies other than `none` can't be enforced, and how to fix it; one of {@link notes}. Absent: they can. */
  readonly egressProblem?: string;
  /**
   * Why a limit for CPU, memory or processes can't be enforced, and how to fix it; one of {@link notes}. Absent: all can.
   */
  readonly limitsProblem?: string;
  /** Why plans with `services` are refused here, and how to change that. Absent: they are not refused. */
  readonly servicesProblem?: string;
  /** Why plans with `docker` are refused here, and how to change that. `null`: they are not refused. */
  readonly dockerProblem: string | null;
  /** Whether steps can run in the image `host` if the administrator permits it. */
  readonly hasHostImage: boolean;
  /** What is weaker on this host than it could be, and how to fix it; one sentence each. */
  readonly notes: readonly string[];
}

/** What a collection removed. */
export interface Collected {
  readonly sandboxes: number;
  readonly details: readonly string[];
}
