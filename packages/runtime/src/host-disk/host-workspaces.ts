import { chmod, mkdir, readdir, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Abortable, FileOwner, SandboxPlan } from "../contract/index.ts";
import { errorCode } from "../host/error-code.ts";
import { HostWorkspace } from "./host-workspace.ts";
import { unmountBelow } from "./mounts.ts";
import { type MountCapabilities, probeMounts } from "./probe-mounts.ts";
import { Trash } from "./trash.ts";

export interface WorkspaceOptions {
  /** Absolute path, created if needed. Several executors may share it: each has a directory named after its owner. */
  readonly dir: string;
  /** Whether workspaces are mounts. Default: `auto`, which probes what works. */
  readonly mounts?: "auto" | "always" | "never";
  /** Keeps workspaces as plain directories after their sandbox is gone, for debugging. Default: false. */
  readonly keep?: boolean;
  /** Called for what could not be removed yet. Removal is tried again. Default: not called. */
  readonly onProblem?: (problem: string) => void;
}

export interface HostWorkspacesOptions extends WorkspaceOptions {
  /** Whether sandboxes see a host file at the path where this process sees it. Called once. */
  readonly findsHostFile: (file: string, signal: AbortSignal) => Promise<boolean>;
  /** Default: probed by mounting, as far as `mounts` allows. */
  readonly capabilities?: MountCapabilities;
}

/** Who the files of a workspace belong to on the host. */
export interface WorkspaceOwner {
  /** `null`: this process. */
  readonly owner: FileOwner | null;
  /**
   * Mounts a tree read-only so that files of this process's user belong to `owner`. `null`: that is impossible, so the
   * owners of files are changed.
   */
  readonly mountOwned: ((tree: string, target: string) => Disposable) | null;
}

/** Name of the file that marks a workspace to keep. */
const keptMarker = "kept";
/** Time at shutdown to delete what is in the trash. The next start deletes the rest. */
const trashMs = 10_000;

/** Manages workspaces on this host's disk, for runtimes whose sandboxes share it. */
export class HostWorkspaces {
  readonly #options: HostWorkspacesOptions;
  readonly #trashes = new Map<string, Trash>();
  #capabilities: Promise<MountCapabilities> | undefined;

  constructor(options: HostWorkspacesOptions) {
    this.#options = options;
  }

  /** How workspaces can be created on this host. Probed once; a failure is not cached. */
  capabilities(signal: AbortSignal): Promise<MountCapabilities> {
    const { dir, mounts = "auto", findsHostFile, capabilities } = this.#options;
    if (capabilities) return Promise.resolve(capabilities);
    this.#capabilities ??= mkdir(dir, { recursive: true, mode: 0o711 })
      .then(() => probeMounts({ setting: mounts, probeDir: join(dir, `.probe-${process.pid}`), findsHostFile, signal }))
      .catch((error: unknown) => {
        this.#capabilities = undefined;
        throw error;
      });
    return this.#capabilities;
  }

  /** Whether a workspace is an overlay on its checkout. */
  async areOverlays(signal: AbortSignal): Promise<boolean> {
    return !this.#options.keep && (await this.capabilities(signal)).overlays;
  }

  /** What is slower or weaker on this host than it could be, for `RuntimeDescription.notes`. */
  async notes(signal: AbortSignal): Promise<readonly string[]> {
    const { mountsVisible, overlays } = await this.capabilities(signal);
    if (overlays) return [];
    const copies = "Each job copies its checkout into its workspace";
    if (mountsVisible) return [`${copies}; run the executor as root on a file system that overlayfs can use.`];
    return [
      `${copies}, and its disk limit is only watched, because sandboxes do not see this executor's mounts. Run it as root, where the engine sees its mounts.`,
    ];
  }

  /**
   * Creates the workspace of a plan. A failure leaves nothing behind.
   * @throws {AirlockError} reason `checkout-invalid` or `runtime`.
   */
  async create(
    plan: SandboxPlan,
    { owner, mountOwned }: WorkspaceOwner,
    { signal }: Abortable,
  ): Promise<HostWorkspace> {
    const { keep = false } = this.#options;
    const capabilities = await this.capabilities(signal);
    const ownerDir = this.#ownerDir(plan.owner);
    const dir = join(ownerDir, plan.id);
    await mkdir(ownerDir, { recursive: true, mode: 0o711 });
    // Fails if the id is in use: two sandboxes must never share a workspace.
    await mkdir(dir, { mode: 0o711 });
    // A sandbox's root may be another host user, which has to traverse these directories to reach the mounts, whatever
    // the umask. It can't list names.
    if (owner) for (const each of [this.#options.dir, ownerDir, dir]) await chmod(each, 0o711);
    if (keep) await writeFile(join(dir, keptMarker), "");
    return await HostWorkspace.create(
      { ...capabilities, dir, owner, mountOwned, keep, trash: this.#trash(plan.owner) },
      { ...plan.workspace, diskBytes: plan.limits.diskBytes },
      signal,
    );
  }

  /**
   * Removes the workspaces of `owner` that are not in `keep`. Returns a sentence for each. Call it when their processes
   * are gone.
   */
  async collect(owner: string, keep: ReadonlySet<string>, { signal }: Abortable): Promise<readonly string[]> {
    const dir = this.#ownerDir(owner);
    const details: string[] = [];
    for (const id of await namesIn(dir)) {
      const workspace = join(dir, id);
      if (id.startsWith(".") || keep.has(id) || (await exists(join(workspace, keptMarker)))) continue;
      signal.throwIfAborted();
      await unmountBelow(workspace, signal);
      await this.#trash(owner).add(workspace);
      details.push(`removed the workspace ${id}`);
    }
    if (await exists(dir)) await this.#trash(owner).sweep();
    return details;
  }

  async close(): Promise<void> {
    const bound = AbortSignal.timeout(trashMs);
    await Promise.all([...this.#trashes.values()].map((trash) => trash.settled(bound)));
  }

  #ownerDir(owner: string): string {
    return join(this.#options.dir, owner);
  }

  #trash(owner: string): Trash {
    const known = this.#trashes.get(owner);
    if (known) return known;
    const trash = new Trash({
      // Can't collide with a workspace, because sandbox ids have no dots.
      dir: join(this.#ownerDir(owner), ".trash"),
      onProblem: (dir, problem) => this.#options.onProblem?.(`${dir} could not be removed yet: ${problem}`),
    });
    this.#trashes.set(owner, trash);
    return trash;
  }
}

async function namesIn(dir: string): Promise<readonly string[]> {
  return await readdir(dir).catch((error: unknown) => {
    if (errorCode(error) === "ENOENT") return [];
    throw error;
  });
}

async function exists(path: string): Promise<boolean> {
  return await stat(path).then(
    () => true,
    (error: unknown) => {
      if (errorCode(error) === "ENOENT") return false;
      throw error;
    },
  );
}
