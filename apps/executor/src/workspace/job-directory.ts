import { randomBytes } from "node:crypto";
import { chmod, mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { errorMessage } from "@airlock/job";
import type { FileOwner } from "@airlock/runtime";
import {
  copyTree,
  handOver,
  isMountablePath,
  mountOverlay,
  type Trash,
  unmountBelow,
} from "@airlock/runtime/host-disk";
import type { JobLog, LogEntry } from "../logs/job-log.ts";
import type { HeldCheckout } from "./cache/held-checkout.ts";
import type { Mirror, MirrorSource } from "./cache/mirror.ts";
import type { HeldSubmodule } from "./cache/place-submodules.ts";
import type { RepositoryCache } from "./cache/repository-cache.ts";
import type { CheckoutRequest } from "./checkout/checkout-request.ts";
import type { Git } from "./checkout/git.ts";
import type { Tag } from "./checkout/reachable-tags.ts";
import { writeCheckout } from "./checkout/write-checkout.ts";
import { fillLfsFiles, type LfsOptions } from "./lfs/fill-lfs-files.ts";
import { gatherSubmodules, type SubmoduleOptions } from "./submodules/gather-submodules.ts";

export interface JobDirectoriesOptions {
  /** `<data dir>/jobs`. */
  readonly dir: string;
  readonly git: Git;
  readonly repositories: RepositoryCache;
  readonly trash: Trash;
  /** Whether overlay mounts work on the data directory. */
  readonly overlays: boolean;
  readonly submodules: SubmoduleOptions;
  readonly lfs: LfsOptions;
  /** Owner of all files in a checkout; `null`: the user of this process. See `RuntimeDescription.checkoutOwner`. */
  readonly owner: FileOwner | null;
}

export interface CheckoutPlan {
  readonly request: CheckoutRequest;
  readonly source: MirrorSource;
  readonly instanceUrl: URL;
}

/** A commit's files on this host. Nothing writes to them. */
export interface Checkout {
  /** Absolute path. */
  readonly tree: string;
  /** The directories whose overlay is the checkout, topmost first. `undefined`: the tree is the checkout. */
  readonly layers: readonly string[] | undefined;
  readonly commit: CommitSource;
}

/** Access to a job's commit that the job's steps can't influence. */
export interface CommitSource {
  readonly request: CheckoutRequest;
  /** Held as long as the job's directory exists. Its repository has the objects of its own commit. */
  readonly base: HeldCheckout;
  /** Fetches the commit into a repository that has the base's objects. */
  fetchInto(gitDir: string, signal: AbortSignal): Promise<void>;
}

const teardownMs = 60_000;
/** Name of a file that marks a directory as one of this executor. */
export const ownerMarker = "airlock-job";

/** The executor's working directories for jobs. Steps can't access them. */
export class JobDirectories {
  readonly #options: JobDirectoriesOptions;
  readonly #active = new Set<string>();

  constructor(options: JobDirectoriesOptions) {
    this.#options = options;
  }

  /** Directories of running jobs. */
  get active(): ReadonlySet<string> {
    return this.#active;
  }

  /** @param name Prefix of the directory's name, `[a-z0-9-]`. */
  open(name: string): JobDirectory {
    const dir = join(this.#options.dir, `${name}-${randomBytes(4).toString("hex")}`);
    this.#active.add(dir);
    return new JobDirectory(dir, this.#options, () => this.#active.delete(dir));
  }
}

/** The working directory of one job, created on first use. Disposing releases everything that was created in it. */
export class JobDirectory implements AsyncDisposable {
  readonly #dir: string;
  readonly #options: JobDirectoriesOptions;
  readonly #onDisposed: () => void;
  #made: Promise<void> | undefined;
  #base: HeldCheckout | undefined;
  #disposed = false;

  constructor(dir: string, options: JobDirectoriesOptions, onDisposed: () => void) {
    this.#dir = dir;
    this.#options = options;
    this.#onDisposed = onDisposed;
  }

  /** Resolves to the path, when the directory exists. */
  async path(): Promise<string> {
    this.#made ??= this.#make();
    await this.#made;
    return this.#dir;
  }

  async #make(): Promise<void> {
    await mkdir(this.#dir, { recursive: true, mode: 0o700 });
    await writeFile(join(this.#dir, ownerMarker), "");
    // The sandbox's root is another user, and a checkout may be mounted from here. This mode lets that user pass
    // without listing names.
    if (this.#options.owner) for (const dir of [this.#options.dir, this.#dir]) await chmod(dir, 0o711);
  }

  /**
   * Prepares a tree with one commit on this host. It stays until the job's directory is disposed.
   * @throws {AirlockError} reason `checkout-invalid`, `checkout-unavailable` or `runtime`.
   */
  async checkOut({ request, source, instanceUrl }: CheckoutPlan, log: JobLog, signal: AbortSignal): Promise<Checkout> {
    const { repositories } = this.#options;
    const mirror = repositories.mirrorFor(instanceUrl, request);
    await logged(log, "setup.git.init", ["git", "init", request.directory || "."], async () => {});
    const { depth } = request;
    let tags: readonly Tag[] = [];
    const fetchCommit = async (entry: LogEntry) => {
      if (await mirror.hasAllOf(request.commit, request, signal)) {
        entry.note("nothing to fetch: this machine already has the commit");
      } else {
        const onStderr = (bytes: Buffer) => void entry.write("stderr", bytes);
        await mirror.fetch(request.commit, source, { depth, tags: request.tags, signal, onStderr });
      }
      if (request.tags === "reachable") {
        tags = await mirror.fetchReachableTags(request.commit, source, signal);
        entry.note(`${tags.length} tags point into the commit's history`);
      }
      await mirror.touch();
    };
    const limit = depth === null ? [] : [`--depth=${depth}`];
    const command = ["git", "fetch", ...limit, ...(request.tags === "all" ? ["--tags"] : []), "origin", request.commit];
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
        base: await noted(entry, () =>
          repositories.checkoutNear(instanceUrl, { request, tags, submodules, fill, entry }, signal),
        ),
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
    const commit: CommitSource = {
      request,
      base,
      fetchInto: (gitDir, fetchSignal) =>
        mirror.exclusively(async () => {
          // Other jobs may have evicted the commit from the cache meanwhile.
          if (!(await mirror.has(request.commit, fetchSignal))) {
            const options = { depth, tags: "none", signal: fetchSignal, onStderr: () => {} } as const;
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
      let tree = base.tree;
      if (!base.layers && base.commit !== request.commit) {
        entry.note(`starting from a checkout of ${base.commit}`);
        tree = await this.#copyOf(base, signal);
        const onStderr = (bytes: Buffer) => void entry.write("stderr", bytes);
        const { git } = this.#options;
        await writeCheckout({ git, tree, request, tags, mirrorDir: mirror.dir, base: base.commit, signal, onStderr });
        if (fillLfs) await mirror.exclusively(() => fillLfs(join(tree, request.directory), entry), signal);
        await handOver(tree, this.#options.owner, signal);
      }
      entry.close(0);
      return { tree, layers: base.layers, commit };
    });
  }

  /**
   * Releases the mirror while it gathers the submodules, which have their own mirrors. Holding two mirrors could
   * deadlock.
   */
  async #checkOutWithSubmodules<T>(
    { request, source, instanceUrl }: CheckoutPlan,
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
      // Other jobs may have evicted the commit from the cache meanwhile.
      if (!(await mirror.hasAllOf(request.commit, { ...request, tags: "none" }, signal))) await fetch();
      return await checkOut(gathered.submodules);
    }, signal);
  }

  /**
   * Returns a writable tree with the base's files. Uses an overlay, which takes milliseconds, where that works, and
   * else a copy.
   */
  async #copyOf(base: HeldCheckout, signal: AbortSignal): Promise<string> {
    const dir = await this.path();
    const target = join(dir, "checkout");
    if (this.#options.overlays && isMountablePath(base.tree) && isMountablePath(dir)) {
      await mountOverlay(base.tree, dir, target, signal);
      return target;
    }
    await copyTree(base.tree, target, signal);
    return target;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#disposed) return;
    this.#disposed = true;
    try {
      if (this.#made) {
        await this.#made.catch(() => {});
        // Use a separate time limit, because the job's signal may already be aborted.
        await unmountBelow(this.#dir, AbortSignal.timeout(teardownMs));
        await this.#options.trash.add(this.#dir);
      }
      this.#base?.[Symbol.dispose]();
    } finally {
      this.#onDisposed();
    }
  }
}

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

/** If `work` fails, notes the error and closes the entry. */
async function noted<T>(entry: LogEntry, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    entry.note(errorMessage(error));
    entry.close(1);
    throw error;
  }
}
