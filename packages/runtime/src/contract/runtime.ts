import type { EgressPolicy } from "@airlock/job";
import type { EgressDenial } from "./egress-denial.ts";

export interface Abortable {
  /** Aborted with an Error that says why; every wait ends with `signal.reason`. */
  readonly signal: AbortSignal;
}

/** A technology that isolates the steps of a job. Nothing outside this package knows which one runs. */
export interface Runtime {
  /** `docker`, `oci`, … */
  readonly name: string;

  /** What runs here and what it can do; asked once at start and by `validate`. */
  describe(options: Abortable): Promise<RuntimeDescription>;

  /**
   * Makes the isolated place of one job: network, limits, mounts; pulls nothing.
   * @throws {AirlockError} reason `policy` when the plan asks for what this host can't enforce, `runtime` when the
   * technology fails. Nothing is left behind then.
   */
  createSandbox(plan: SandboxPlan, options: Abortable): Promise<Sandbox>;

  /**
   * Removes what sandboxes of `owner` left that are not in `keep`: after a crash, at start and every minute. What
   * belongs to a sandbox is found by labels and by names that hold the owner, never by guessing.
   */
  collect(options: { readonly owner: string; readonly keep: ReadonlySet<string> } & Abortable): Promise<Collected>;

  /**
   * Removes images that were used longest ago until the rest is within the bound that the runtime was made with: every
   * minute, while jobs run. None that a sandbox uses, and none that somebody else brought here. Answers in words what it
   * removed.
   */
  evictImages?(options: Abortable): Promise<readonly string[]>;

  /**
   * Whether sandboxes find a file of the host, given by its absolute path, where this process sees it. Asked before
   * workspaces are mounts: a Docker engine in another container or mount namespace would find empty directories.
   */
  findsHostFile(file: string, options: Abortable): Promise<boolean>;

  /**
   * Who has to own the files of a workspace on the host so that root of a sandbox owns them; `null`: whoever this
   * process is. A step whose image runs as another user gets the workspace handed over by the runtime.
   */
  readonly workspaceOwner: { readonly uid: number; readonly gid: number } | null;

  /** Gives back what the runtime itself holds (connections). Sandboxes are to be disposed before. */
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
  /** Why policies other than `none` can't be enforced, with the way to mend it; one of {@link notes}. Absent: they can. */
  readonly egressProblem?: string;
  /** One sentence each on what is weaker on this host than it could be, with the way to mend it. */
  readonly notes: readonly string[];
}

export interface SandboxPlan {
  /** Unique on the machine, `[a-z0-9-]`, at most 60 characters; names everything that the sandbox makes. */
  readonly id: string;
  /** Whoever must collect what a crash leaves: stable over restarts of one executor. `[a-z0-9-]`, at most 40 characters. */
  readonly owner: string;
  /** Absolute host directory, mounted writable at `/data`; the steps share it. */
  readonly workspaceDir: string;
  /** Absolute host directory, mounted read-only at `/airlock`: scripts, which no step can change. */
  readonly scriptsDir: string;
  /**
   * Absolute host directory on the workspace's own bounded file system, private to this sandbox, where what steps write
   * outside the workspace is kept, so that one bound holds for both. Absent: the workspace has no file system of its own.
   */
  readonly layersDir?: string;
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
  /**
   * Workspace and what steps write elsewhere, together. Held by the file system where the plan has a `layersDir` and the
   * runtime uses it, else by a watcher that ends the step. Default: no limit.
   */
  readonly diskBytes?: number;
}

/** One isolated place for one job. Disposing ends every process and gives everything back; safe to do twice. */
export interface Sandbox extends AsyncDisposable {
  readonly id: string;

  /**
   * Makes sure the image is here, ready to run. Says in words what it does (`pulling layer 2 of 3, 43 %`).
   * @throws {AirlockError} reason `image-invalid` (unknown, malformed, no `/bin/sh`), `image-unavailable`, or `policy`
   * (not allowed by the executor's administrator, or not here and not to be pulled).
   */
  prepareImage(image: string, options: Abortable & { readonly progress: (text: string) => void }): Promise<void>;

  /**
   * Runs one step to its end; an exit code other than 0 is a result. When the returned promise settles, no process of
   * the step is left, not even a daemon that it started, and all its output was delivered.
   * @throws `signal.reason` when aborted: SIGTERM, then SIGKILL after the grace period of 5 s.
   * @throws {AirlockError} reason `runtime` or `image-invalid` for faults that are not the command's.
   */
  runStep(step: SandboxStep, options: StepOptions): Promise<StepStatus>;
}

export interface StepOptions extends Abortable {
  readonly output: StepOutput;
  /** Of the step that comes after this one: what it needs may be made ready meanwhile. Default: none is known of. */
  readonly nextImage?: string;
}

export interface SandboxStep {
  /** Unique in the job; part of names, `[A-Za-z0-9._-]`. */
  readonly key: string;
  /** A reference that `prepareImage` accepted, or `host`: the host's own tool chain, read-only. */
  readonly image: string;
  /** Path under `/airlock`, run as `/bin/sh PATH`; the image's entrypoint and command are not used. */
  readonly script: string;
  /** Absolute path inside the sandbox, under `/data`; made if it does not exist. */
  readonly workingDirectory: string;
  /** Added to the image's own environment, winning over it. Never put on a command line. */
  readonly env: Readonly<Record<string, string>>;
}

/**
 * Takes a step's output as it comes, in order. The runtime waits for the returned promise before it reads further, so
 * a slow reader slows the step instead of filling memory. Buffers are the callee's to keep.
 */
export type StepOutput = (stream: "stdout" | "stderr", bytes: Buffer) => void | Promise<void>;

export type StepStatus =
  /** 128 + n may also mean that signal n ended the script: an exit code alone does not tell. */
  (
    | { readonly kind: "exited"; readonly exitCode: number }
    /** Only where a signal is known to have ended the step. `signal` is its name, e.g. `SIGKILL`. */
    | { readonly kind: "killed"; readonly signal: string; readonly outOfMemory: boolean }
  ) & {
    /** Limits that struck meanwhile and that the end itself does not tell of, one sentence each for the job's log. */
    readonly notes?: readonly string[];
  };

/** How many things of each kind a collection removed. */
export interface Collected {
  readonly sandboxes: number;
  readonly details: readonly string[];
}
