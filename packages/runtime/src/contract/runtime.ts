import type { Abortable } from "./abortable.ts";
import type { Sandbox } from "./sandbox.ts";
import type { SandboxPlan } from "./sandbox-plan.ts";
import type { FileOwner } from "./workspace.ts";

/**
 * A technology that isolates the steps of a job. Nothing outside this package knows which one runs.
 *
 * All methods may overlap each other and any use of the runtime's sandboxes, except `close`: call it when every sandbox
 * has been disposed and no other call is pending.
 */
export interface Runtime {
  /** `docker`, `oci`, … */
  readonly name: string;

  /** Says what runs here and what it can enforce. Asked at start and by `validate`; changes only with the host. */
  describe(options: Abortable): Promise<RuntimeDescription>;

  /**
   * Makes the isolated place of one job: workspace, network, limits. Pulls no image.
   * @throws {AirlockError} reason `policy` when the plan asks for what this host can't enforce, `checkout-invalid` when
   * the plan's files don't fit into the workspace or its paths are taken, `runtime` when the technology fails.
   * @throws `signal.reason` when aborted. Whatever it throws, nothing is left behind.
   */
  createSandbox(plan: SandboxPlan, options: Abortable): Promise<Sandbox>;

  /**
   * Removes what sandboxes of `owner` left that are not in `keep`: after a crash, at start and every minute. Everything is
   * found by labels and by names that hold the owner, never by guessing. One failure does not keep it from the rest; it
   * rejects at the end, and the next call tries again.
   */
  collect(options: { readonly owner: string; readonly keep: ReadonlySet<string> } & Abortable): Promise<Collected>;

  /**
   * Removes the images that were used longest ago until the rest is within the bound that the runtime was made with.
   * Called every minute, while jobs run. Never removes an image that a sandbox uses or that something else brought here.
   * @returns one sentence for each removal; empty where the runtime keeps no images.
   */
  evictImages(options: Abortable): Promise<readonly string[]>;

  /** Gives back what the runtime itself holds (connections, helpers). */
  close(): Promise<void>;
}

export interface RuntimeDescription {
  /** Of the engine or OCI runtime, e.g. `20.10.24` or `crun 1.8.1`. */
  readonly version: string;
  /** Programs of the host that it is made of, by their plain names (`runc`, `crun`, `runsc`, `containerd`). Default: none known. */
  readonly components?: readonly { readonly name: string; readonly version: string }[];
  /** What this host enforces; `validate` prints it, a plan that needs more is refused. */
  readonly enforces: {
    readonly cpu: boolean;
    readonly memory: boolean;
    readonly pids: boolean;
    readonly egressNone: boolean;
    readonly egressPublic: boolean;
    readonly egressAllow: boolean;
    /** How what steps write outside the workspace is bounded. */
    readonly disk: "file-system" | "watcher" | "none";
  };
  /**
   * Numeric ids on this host that make a checkout cheapest to bring in: one whose files belong to them already needs no
   * change of owner. `null`: the ids of this process. Only a matter of speed; any other owner works.
   */
  readonly checkoutOwner: FileOwner | null;
  /** Why policies other than `none` can't be enforced, with the way to mend it; one of {@link notes}. Absent: they can. */
  readonly egressProblem?: string;
  /** One sentence each on what is weaker on this host than it could be, with the way to mend it. */
  readonly notes: readonly string[];
}

/** How many things of each kind a collection removed. */
export interface Collected {
  readonly sandboxes: number;
  readonly details: readonly string[];
}
