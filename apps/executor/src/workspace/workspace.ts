import { randomBytes } from "node:crypto";
import { chmod, chown, mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { AirlockError, errorMessage, formatBytes } from "@airlock/job";
import { runHostCommand } from "../host/host-command.ts";
import type { JobLog, LogEntry } from "../logs/job-log.ts";
import type { HeldCheckout } from "./cache/held-checkout.ts";
import type { Mirror, MirrorSource } from "./cache/mirror.ts";
import type { HeldSubmodule } from "./cache/place-submodules.ts";
import type { RepositoryCache } from "./cache/repository-cache.ts";
import { checkoutInvalid } from "./checkout/checkout-errors.ts";
import type { CheckoutRequest } from "./checkout/checkout-request.ts";
import type { Git } from "./checkout/git.ts";
import { writeCheckout } from "./checkout/write-checkout.ts";
import { type WorkspaceFile, writeWorkspaceFile } from "./files/write-workspace-file.ts";
import { fillLfsFiles, type LfsOptions } from "./lfs/fill-lfs-files.ts";
import { writeScripts } from "./scripts/write-scripts.ts";
import { DiskBound } from "./storage/disk-bound.ts";
import { type FileOwner, handOver } from "./storage/file-owner.ts";
import { isMountablePath, type Mounts } from "./storage/mounts.ts";
import type { Trash } from "./storage/trash.ts";
import { gatherSubmodules, type SubmoduleOptions } from "./submodules/gather-submodules.ts";

export interface WorkspaceFactoryOptions {
  /** `<data dir>/workspaces`. */
  readonly dir: string;
  readonly git: Git;
  readonly repositories: RepositoryCache;
  readonly mounts: Mounts;
  readonly trash: Trash;
  /** Whether the runtime sees what this process mounts. */
  readonly mountsVisible: boolean;
  /** Whether overlays work on the data directory. */
  readonly overlays: boolean;
  readonly keep: boolean;
  readonly submodules: SubmoduleOptions;
  readonly lfs: LfsOptions;
  /** Who is to own all files of a workspace; `null`: whoever this process is. */
  readonly owner: FileOwner | null;
  readonly path: string;
}

export interface WorkspacePlan {
  /** Begins the directory's name, `[a-z0-9-]`. */
  readonly name: string;
  readonly checkout:
    | { readonly request: CheckoutRequest; readonly source: MirrorSource; readonly instanceUrl: URL }
    | undefined;
  readonly files: readonly WorkspaceFile[];
  readonly scripts: readonly string[];
  /** Limits what the workspace can hold, where the machine can do that. */
  readonly diskBytes: number | undefined;
}

/** A job's directory on the host: what steps share, and beside it what they can't change. */
export interface Workspace extends AsyncDisposable {
  /** Mounted at `/data`. */
  readonly dir: string;
  /** Mounted at `/airlock`. */
  readonly scriptsDir: string;
  /** On the workspace's own file system, but not in the workspace; `null`: it has none. See `SandboxPlan.layersDir`. */
  readonly layersDir: string | null;
  /** `null`: the workspace has no file system of its own. */
  readonly disk: DiskBound | null;
  /** What the workspace began as; `null` without a repository. */
  readonly commit: CommitSource | null;
}

/** A job's commit, out of the reach of its steps. */
export interface CommitSource {
  readonly request: CheckoutRequest;
  /** Held while the workspace is: its repository has the objects of its own commit. */
  readonly base: HeldCheckout;
  /** Brings the commit into a repository that has the base's objects. */
  fetchInto(gitDir: string, signal: AbortSignal): Promise<void>;
}

const teardownMs = 60_000;
/** Marks a directory as ours; its content says that it is to stay. */
export const ownerMarker = "airlock-workspace";

/** Prepares workspaces under one directory. */
export class WorkspaceFactory {
  readonly #options: WorkspaceFactoryOptions;
  readonly #active = new Set<string>();

  constructor(options: WorkspaceFactoryOptions) {
    this.#options = options;
  }

  /** Directories of running jobs. */
  get active(): ReadonlySet<string> {
    return this.#active;
  }

  /** A place for a job on this machine, before anything is in it. Disposing gives back all that was made there. */
  async createJobDirectory(name: string): Promise<JobDirectory> {
    const directory = new JobDirectory(
      join(this.#options.dir, `${name}-${randomBytes(4).toString("hex")}`),
      this.#options,
      () => this.#active.delete(directory.dir),
    );
    this.#active.add(directory.dir);
    await mkdir(directory.dir, { recursive: true, mode: 0o700 });
    await writeFile(join(directory.dir, ownerMarker), this.#options.keep ? "keep\n" : "remove\n");
    // Root of a sandbox, another user here, has to get through to what is mounted; names are not to be listed.
    if (this.#options.owner) for (const dir of [this.#options.dir, directory.dir]) await chmod(dir, 0o711);
    return directory;
  }
}

/** The directory of one job. */
export class JobDirectory implements AsyncDisposable {
  readonly dir: string;
  readonly #options: WorkspaceFactoryOptions;
  readonly #onDisposed: () => void;
  #base: HeldCheckout | undefined;
  #commit: CommitSource | null = null;
  #disposed = false;

  constructor(dir: string, options: WorkspaceFactoryOptions, onDisposed: () => void) {
    this.dir = dir;
    this.#options = options;
    this.#onDisposed = onDisposed;
  }

  /** @throws {AirlockError} reason `checkout-invalid` or `checkout-unavailable`, or `runtime`. */
  async prepare(plan: Omit<WorkspacePlan, "name">, log: JobLog, signal: AbortSignal): Promise<Workspace> {
    const storage = await this.#storage(plan.diskBytes, log, signal);
    const { owner } = this.#options;
    const dir = plan.checkout
      ? await this.#checkOut(plan.checkout, storage.dir, log, signal)
      : join(storage.dir, "data");
    await mkdir(dir, { recursive: true });
    // Steps run as the user that their image names.
    await chmod(dir, 0o777);
    if (owner) await chown(dir, owner.uid, owner.gid);
    const scriptsDir = join(this.dir, "scripts");
    await mkdir(scriptsDir);
    await logged(log, "setup.fs.extras", [], async (entry) => {
      for (const file of plan.files) {
        signal.throwIfAborted();
        await writeWorkspaceFile(dir, file, owner).catch(sayFull);
      }
      await writeScripts(scriptsDir, plan.scripts);
      entry.note(`${plan.files.length} files and ${plan.scripts.length} scripts written`);
    });
    const { layersDir, disk } = storage;
    const commit = this.#commit;
    return { dir, scriptsDir, layersDir, disk, commit, [Symbol.asyncDispose]: () => this[Symbol.asyncDispose]() };
  }

  async #storage(diskBytes: number | undefined, log: JobLog, signal: AbortSignal): Promise<Storage> {
    const unbounded = { dir: this.dir, layersDir: null, disk: null };
    if (diskBytes === undefined) return unbounded;
    const entry = log.open("setup.fs.workspace");
    const { mountsVisible, keep, mounts } = this.#options;
    const limit = `the limit of ${formatBytes(diskBytes)}`;
    try {
      if (!mountsVisible || keep) {
        const why = keep ? "workspaces are kept as plain directories" : "it does not see mounts of this executor";
        entry.note(`${limit} is left to the runtime: ${why}`);
        return unbounded;
      }
      const dir = join(this.dir, "disk");
      await mounts.diskImage(join(this.dir, "disk.img"), diskBytes, dir, signal);
      const layersDir = join(dir, "layers");
      await mkdir(layersDir, { mode: this.#options.owner ? 0o711 : 0o700 });
      entry.note(`a file system of ${formatBytes(diskBytes)}`);
      return { dir, layersDir, disk: new DiskBound(dir, diskBytes) };
    } catch (error) {
      signal.throwIfAborted();
      entry.note(`${limit} is left to the runtime: ${errorMessage(error)}`);
      return unbounded;
    } finally {
      entry.close(0);
    }
  }

  async #checkOut(
    { request, source, instanceUrl }: NonNullable<WorkspacePlan["checkout"]>,
    storage: string,
    log: JobLog,
    signal: AbortSignal,
  ): Promise<string> {
    const { repositories } = this.#options;
    const mirror = repositories.mirrorFor(instanceUrl, request);
    await logged(log, "setup.git.init", ["git", "init", request.directory || "."], async () => {});
    const fetchCommit = async (entry: LogEntry) => {
      // Tags move: only the instance knows where they are now.
      if (!request.tags && (await mirror.has(request.commit, signal))) {
        entry.note("this machine has the commit already: nothing to fetch");
      } else {
        const onStderr = (bytes: Buffer) => void entry.write("stderr", bytes);
        const options = { shallow: request.shallow, tags: request.tags, signal, onStderr };
        await mirror.fetch(request.commit, source, options);
      }
      await mirror.touch();
    };
    const command = ["git", "fetch", ...(request.shallow ? ["--depth=1"] : []), "origin", request.commit];
    const fillLfs = this.#options.lfs.fetch
      ? async (worktree: string, entry: LogEntry) =>
          await fillLfsFiles(worktree, request.commit.length === 64, {
            git: this.#options.git,
            source,
            allowedHosts: this.#options.lfs.allowedHosts,
            limits: repositories.limits,
            objectsDir: mirror.lfsObjectsDir,
            note: (text) => entry.note(text),
            signal,
          })
      : null;
    const checkOut = async (submodules: readonly HeldSubmodule[]) => {
      const entry = log.open("setup.git.checkout", ["git", "checkout", "--force", request.commit]);
      const fill = fillLfs && ((worktree: string) => fillLfs(worktree, entry));
      return {
        base: await noted(entry, () => repositories.checkoutNear(instanceUrl, request, submodules, fill, signal)),
        entry,
      };
    };
    const fetch = () => logged(log, "setup.git.fetch", command, fetchCommit);
    const { base, entry } =
      this.#options.submodules.fetch === "none"
        ? await mirror.exclusively(async () => {
            await fetch();
            return await checkOut([]);
          }, signal)
        : await this.#checkOutWithSubmodules({ request, source, instanceUrl }, mirror, fetch, checkOut, log, signal);
    this.#base = base;
    this.#commit = {
      request,
      base,
      fetchInto: (gitDir, fetchSignal) =>
        mirror.exclusively(async () => {
          // Others may have pushed it out of the cache meanwhile.
          if (!(await mirror.has(request.commit, fetchSignal))) {
            const options = { shallow: request.shallow, tags: false, signal: fetchSignal, onStderr: () => {} };
            await mirror.fetch(request.commit, source, options);
          }
          await this.#options.git.check(
            [
              `--git-dir=${gitDir}`,
              "fetch",
              "--no-recurse-submodules",
              "--no-write-fetch-head",
              "--no-tags",
              "--depth=1",
              mirror.dir,
              request.commit,
            ],
            { signal: fetchSignal, localTransport: true },
          );
        }, fetchSignal),
    };
    return await noted(entry, async () => {
      if (base.commit !== request.commit) entry.note(`beginning from a checkout of ${base.commit}`);
      const tree = await this.#copyOf(base, storage, signal);
      if (base.commit !== request.commit) {
        const onStderr = (bytes: Buffer) => void entry.write("stderr", bytes);
        await writeCheckout({
          git: this.#options.git,
          tree,
          request,
          mirrorDir: mirror.dir,
          base: base.commit,
          signal,
          onStderr,
        });
        if (fillLfs) {
          await mirror.exclusively(() => fillLfs(join(tree, request.directory), entry), signal);
        }
        await handOver(tree, this.#options.owner, { path: this.#options.path, signal });
      }
      entry.close(0);
      return tree;
    });
  }

  /** The mirror is given free in between: the submodules have theirs, and nobody holds two. */
  async #checkOutWithSubmodules<T>(
    { request, source, instanceUrl }: NonNullable<WorkspacePlan["checkout"]>,
    mirror: Mirror,
    fetch: () => Promise<void>,
    checkOut: (submodules: readonly HeldSubmodule[]) => Promise<T>,
    log: JobLog,
    signal: AbortSignal,
  ): Promise<T> {
    const { git, repositories, submodules: options } = this.#options;
    await mirror.exclusively(fetch, signal);
    using gathered = await logged(log, "setup.git.submodules", [], async (entry) => {
      const root = { ...source, repository: request.repository, scope: instanceUrl, onInstance: true };
      const hosts = {
        instanceUrl,
        instanceHeaders: source.headers,
        allowed: new Set(options.allowedHosts),
      };
      return await gatherSubmodules(
        { source: root, commit: request.commit, gitDir: mirror.dir },
        { git, repositories, options, limits: repositories.limits, hosts, entry, signal },
      );
    });
    return await mirror.exclusively(async () => {
      // Others may have pushed it out of the cache meanwhile.
      if (!(await mirror.has(request.commit, signal))) await fetch();
      return await checkOut(gathered.submodules);
    }, signal);
  }

  /** A writable tree that looks like the base: a layer above it in milliseconds where that works, else a copy. */
  async #copyOf(base: HeldCheckout, storage: string, signal: AbortSignal): Promise<string> {
    const target = join(this.dir, "data");
    const { overlays, mountsVisible, mounts, keep, path } = this.#options;
    // What is kept is to be found without a mount.
    if (overlays && mountsVisible && !keep && isMountablePath(base.tree) && isMountablePath(this.dir)) {
      await mounts.overlay(base.tree, storage, target, signal);
      return target;
    }
    const copy = join(storage, "data");
    const argv = ["cp", "-a", "--reflink=auto", "--", base.tree, copy];
    const { exitCode, stderr } = await runHostCommand(argv, { env: { PATH: path, LC_ALL: "C" }, signal });
    if (exitCode === 0) return copy;
    throw new AirlockError(`copying the checkout failed: ${stderr.trim().slice(-300)}`, {
      code: "copy-failed",
      reason: /No space left/.test(stderr) && storage !== this.dir ? "checkout-invalid" : "runtime",
      hint: "The workspace is full: ask for more with resources.disk, or make room on the executor's disk.",
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#disposed) return;
    this.#disposed = true;
    const { keep, mounts, trash } = this.#options;
    try {
      if (keep) return;
      // A grace of its own: the job's signal may be over already.
      await mounts.unmountBelow(this.dir, AbortSignal.timeout(teardownMs));
      this.#base?.[Symbol.dispose]();
      await trash.add(this.dir);
    } finally {
      this.#onDisposed();
    }
  }
}

/** Where the workspace's own bytes go: the job's directory, or a file system of limited size in it. */
interface Storage extends Pick<Workspace, "layersDir" | "disk"> {
  readonly dir: string;
}

function sayFull(error: NodeJS.ErrnoException): never {
  if (error.code !== "ENOSPC" && error.code !== "EDQUOT") throw error;
  throw checkoutInvalid(
    "the job's files do not fit into the workspace",
    "The workspace is full: ask for more with resources.disk, or make room on the executor's disk.",
  );
}

/** Runs a part of the set-up as one log entry, which tells what went wrong. */
async function logged<T>(
  log: JobLog,
  key: string,
  command: readonly string[],
  work: (entry: LogEntry) => Promise<T>,
): Promise<T> {
  const entry = log.open(key, command);
  return await noted(entry, async () => {
    const result = await work(entry);
    entry.close(0);
    return result;
  });
}

/** Ends the entry with what went wrong, if anything does. */
async function noted<T>(entry: LogEntry, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    entry.note(errorMessage(error));
    entry.close(1);
    throw error;
  }
}
