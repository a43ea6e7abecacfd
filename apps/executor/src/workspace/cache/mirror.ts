import { createHash, randomUUID } from "node:crypto";
import { mkdir, readdir, rename, rm, stat, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { startTimer } from "@airlock/async";
import { AirlockError, formatBytes, formatDuration } from "@airlock/job";
import { checkoutLimit } from "../checkout/checkout-errors.ts";
import type { CheckoutInput } from "../checkout/checkout-request.ts";
import type { Git } from "../checkout/git.ts";
import { listTags, reachableTags, type Tag } from "../checkout/reachable-tags.ts";
import { Mutex } from "./mutex.ts";

export interface MirrorLimits {
  readonly maximumBytes: number;
  readonly maximumFiles: number;
  readonly maximumMs: number;
}

export interface FetchOptions extends Pick<CheckoutInput, "depth" | "tags"> {
  readonly signal: AbortSignal;
  readonly onStderr: (bytes: Buffer) => void;
}

export interface MirrorSource {
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
}

/**
 * With more commits than this, old ones are removed from the mirror, because each one costs a line in every
 * negotiation.
 */
const maximumCommits = 256;
const watchIntervalMs = 500;
/** The kernel's PATH_MAX without the final zero byte. Longer paths can't be created. */
const maximumPathBytes = 4095;

/**
 * A bare repository on this machine with the commits that jobs needed. Fetching another commit costs only the
 * difference, and fetching the same one again costs nothing. A repository has up to three mirrors: for commits without
 * history, with partial history, and with full history. Git keeps one history boundary per repository, so these can't
 * share a mirror.
 */
export class Mirror {
  readonly dir: string;
  readonly #git: Git;
  readonly #limits: MirrorLimits;
  readonly #mutex = new Mutex();
  #commits: Set<string> | undefined;

  constructor(dir: string, git: Git, limits: MirrorLimits) {
    this.dir = dir;
    this.#git = git;
    this.#limits = limits;
  }

  /** Runs `work` while no other holder of the mutex uses the mirror. */
  async exclusively<T>(work: () => Promise<T>, signal: AbortSignal): Promise<T> {
    return await this.#mutex.run(work, signal);
  }

  async has(commit: string, signal: AbortSignal): Promise<boolean> {
    return (await this.#knownCommits(signal)).has(commit);
  }

  /** Whether the mirror already has everything that `fetch` would fetch. */
  async hasAllOf(commit: string, { depth, tags }: Pick<CheckoutInput, "depth" | "tags">, signal: AbortSignal) {
    // Tags move, and fetching another commit may have truncated this one's history. Only the source knows.
    if (tags === "all" || (depth !== null && depth > 1)) return false;
    return await this.has(commit, signal);
  }

  /**
   * Finds the tags that lead to the commit's history, as they are at the source now, and fetches their objects. Call it
   * when the mirror has the commit.
   */
  async fetchReachableTags(commit: string, { url, headers }: MirrorSource, signal: AbortSignal): Promise<Tag[]> {
    return await this.#bounded(signal, async (bounded) => {
      const options = { signal: bounded };
      const remote = { ...options, credentials: { url, headers } };
      const listed = await listTags(this.#git, this.#at, url, remote);
      const tags = await reachableTags(this.#git, this.#at, commit, listed, options);
      // Use a separate ref for each object, because tag names can conflict with each other and tags can move.
      const refspecs = tags
        .filter(({ id, target }) => id !== target)
        .map(({ id }) => `+${id}:refs/tag-objects/${id}\n`);
      if (refspecs.length > 0) {
        const args = ["fetch", "--quiet", "--no-recurse-submodules", "--no-write-fetch-head", "--no-tags", "--stdin"];
        await this.#git.check([...this.#at, ...args, url.href], { ...remote, stdin: refspecs.join("") });
      }
      return tags;
    });
  }

  /** Whether at most `maximumFiles` files differ between two commits; `false` where the mirror can't tell. */
  async differByAtMost(one: string, other: string, maximumFiles: number, signal: AbortSignal): Promise<boolean> {
    if (!(await this.has(one, signal))) return false;
    const stop = new AbortController();
    let files = 0;
    try {
      await this.#git.check([...this.#at, "diff-tree", "-r", "-z", "--name-only", "--no-renames", one, other], {
        signal: AbortSignal.any([signal, stop.signal]),
        onStdout: (bytes) => {
          for (const byte of bytes) if (byte === 0) files += 1;
          if (files > maximumFiles) stop.abort(new Error("more files differ"));
        },
      });
      return true;
    } catch (error) {
      if (stop.signal.aborted) return false;
      throw error;
    }
  }

  /** Whether all `.gitattributes` of two commits are the same; `false` where the mirror can't tell. */
  async haveSameAttributes(one: string, other: string, signal: AbortSignal): Promise<boolean> {
    if (!(await this.has(one, signal))) return false;
    const { exitCode } = await this.#git.run(
      [...this.#at, "diff-tree", "-r", "--quiet", one, other, "--", ":(top,glob)**/.gitattributes"],
      { signal },
    );
    return exitCode === 0;
  }

  /** Directory of this repository's Git LFS objects, by id. Use it only while holding the mirror exclusively. */
  get lfsObjectsDir(): string {
    return join(this.dir, "lfs", "objects");
  }

  /** Time of the last use in ms since 1970; 0 when the mirror does not exist. */
  async lastUsed(): Promise<number> {
    return await stat(join(this.dir, "HEAD")).then(
      ({ mtimeMs }) => mtimeMs,
      () => 0,
    );
  }

  /** Records that the mirror was used, for the eviction of mirrors. */
  async touch(): Promise<void> {
    const now = new Date();
    await utimes(join(this.dir, "HEAD"), now, now);
  }

  /** Digest of all tags. It changes when a tag is added, removed or moved. */
  async tagsDigest(signal: AbortSignal): Promise<string> {
    const hash = createHash("sha256");
    await this.#git.check([...this.#at, "for-each-ref", "--format=%(objectname) %(refname)", "refs/tags/"], {
      signal,
      onStdout: (bytes) => hash.update(bytes),
    });
    return hash.digest("hex").slice(0, 16);
  }

  /**
   * Fetches the commit unless the mirror already has it.
   * @throws {AirlockError} `checkout-invalid` for a commit that does not exist or exceeds the limits.
   */
  async fetch(commit: string, source: MirrorSource, options: FetchOptions): Promise<void> {
    const existed = await this.#open(commit, options.signal);
    try {
      await this.#fetchOnce(commit, source, options);
    } catch (error) {
      options.signal.throwIfAborted();
      // A mirror that a crash or a full disk damaged looks like a broken source. Clone again from scratch to find out
      // which of the two is broken.
      const mayBeOurs = error instanceof AirlockError && error.code !== "checkout-limit";
      if (!existed || !mayBeOurs || (await this.#isSound(options.signal))) throw error;
      await this.remove();
      await this.#open(commit, options.signal);
      await this.#fetchOnce(commit, source, options);
    }
  }

  async #fetchOnce(commit: string, { url, headers }: MirrorSource, options: FetchOptions): Promise<void> {
    const depth = options.depth === null ? [] : [`--depth=${options.depth}`];
    const allTags = options.tags === "all";
    const tags = allTags ? ["--tags", "--force", "--prune"] : ["--no-tags"];
    const tagRefs = allTags ? ["+refs/tags/*:refs/tags/*"] : [];
    // The ref protects the commit from garbage collection and offers it in later negotiations. The commit counts as
    // known only by a second ref, which is created after the limits were checked. After a crash in between, it is still
    // unknown.
    const unchecked = `refs/unchecked/${commit}`;
    const refspecs = [`+${commit}:${unchecked}`, ...tagRefs];
    await this.#bounded(options.signal, (signal) =>
      this.#git.check(
        [
          ...this.#at,
          "fetch",
          "--progress",
          "--no-recurse-submodules",
          "--no-write-fetch-head",
          ...depth,
          ...tags,
          url.href,
          ...refspecs,
        ],
        { signal, credentials: { url, headers }, onStderr: options.onStderr },
      ),
    );
    await this.#bounded(options.signal, (signal) => this.measure(commit, this.#limits, signal));
    const stdin = `update refs/commits/${commit} ${commit}\ndelete ${unchecked}\n`;
    await this.#git.check([...this.#at, "update-ref", "--stdin"], { signal: options.signal, stdin });
    (await this.#knownCommits(options.signal)).add(commit);
    await this.#prune(options.signal);
  }

  /**
   * Runs `work` within the limits of time and of the mirror's growth, because a pack can be far larger than it looks.
   * Removes the mirror if it grew beyond the limit. Otherwise another attempt would find the objects there and pass.
   */
  async #bounded<T>(outer: AbortSignal, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const { maximumBytes, maximumMs } = this.#limits;
    const stop = new AbortController();
    const before = await this.bytes();
    const tooLarge = async () =>
      (await this.bytes()) - before > maximumBytes
        ? checkoutLimit(`the repository is larger than ${formatBytes(maximumBytes)}`)
        : null;
    const watch = setInterval(async () => {
      const error = await tooLarge();
      if (error) stop.abort(error);
    }, watchIntervalMs);
    const late = `fetching the repository took longer than ${formatDuration(maximumMs)}`;
    using _timer = startTimer(maximumMs, () => stop.abort(checkoutLimit(late)));
    try {
      const result = await work(AbortSignal.any([outer, stop.signal]));
      // The mirror may have grown between two checks.
      const error = await tooLarge();
      if (error) throw error;
      return result;
    } catch (error) {
      if (await tooLarge()) await this.remove();
      throw error;
    } finally {
      clearInterval(watch);
    }
  }

  /**
   * Asks the source whether the credentials still authorize access, without fetching.
   * @throws {AirlockError} as `fetch` does.
   */
  async proveReadable({ url, headers }: MirrorSource, signal: AbortSignal): Promise<void> {
    await this.#git.check([...this.#at, "ls-remote", "--quiet", url.href, "HEAD"], {
      signal,
      credentials: { url, headers },
    });
  }

  /** Counts the commit's files before any is written, because a few kilobytes of trees can name billions of them. */
  async measure(
    commit: string,
    { maximumBytes, maximumFiles }: Pick<MirrorLimits, "maximumBytes" | "maximumFiles">,
    signal: AbortSignal,
  ): Promise<{ readonly files: number; readonly bytes: number }> {
    const stop = new AbortController();
    let files = 0;
    let bytes = 0;
    let rest = "";
    const limit = (problem: string) => {
      if (!stop.signal.aborted) stop.abort(checkoutLimit(problem));
    };
    await this.#git.check([...this.#at, "ls-tree", "-r", "-l", "-z", "--full-tree", commit], {
      signal: AbortSignal.any([signal, stop.signal]),
      onStdout: (output) => {
        const entries = (rest + output.toString("latin1")).split("\0");
        rest = entries.pop() ?? "";
        for (const entry of entries) {
          const tab = entry.indexOf("\t");
          files += 1;
          bytes += Number(entry.slice(entry.lastIndexOf(" ", tab) + 1, tab)) || 0;
          if (entry.length - tab - 1 > maximumPathBytes)
            limit(`a path in the repository is longer than ${maximumPathBytes} bytes`);
        }
        if (rest.length > 1024 * 1024) limit(`a path in the repository is longer than ${maximumPathBytes} bytes`);
        if (files > maximumFiles) limit(`the commit has more than ${maximumFiles} files`);
        if (bytes > maximumBytes) limit(`the commit's files are larger than ${formatBytes(maximumBytes)} together`);
      },
    });
    return { files, bytes };
  }

  async #prune(signal: AbortSignal): Promise<void> {
    const commits = await this.#knownCommits(signal);
    if (commits.size <= maximumCommits) return;
    const oldest = [...commits].slice(0, maximumCommits / 2);
    const stdin = oldest.map((commit) => `delete refs/commits/${commit}\n`).join("");
    await this.#git.check([...this.#at, "update-ref", "--stdin"], { signal, stdin });
    for (const commit of oldest) commits.delete(commit);
    await this.#git.check([...this.#at, "gc", "--prune=now", "--quiet"], { signal });
  }

  /** Whether the repository is undamaged and not locked. */
  async #isSound(signal: AbortSignal): Promise<boolean> {
    const { exitCode } = await this.#git.run([...this.#at, "fsck", "--connectivity-only", "--no-dangling"], { signal });
    return exitCode === 0 && !(await this.#hasLockFiles());
  }

  async #hasLockFiles(): Promise<boolean> {
    return (await readdir(this.dir)).some((name) => name.endsWith(".lock"));
  }

  async #knownCommits(signal: AbortSignal): Promise<Set<string>> {
    if (this.#commits) return this.#commits;
    const commits = new Set<string>();
    if (await exists(this.dir)) {
      const { stdout, exitCode } = await this.#git.run(
        [...this.#at, "for-each-ref", "--sort=creatordate", "--format=%(refname:lstrip=2)", "refs/commits/"],
        { signal },
      );
      if (exitCode === 0) for (const commit of stdout.split("\n")) if (commit !== "") commits.add(commit);
    }
    this.#commits = commits;
    return commits;
  }

  /** Creates the repository if it does not exist. Resolves to whether it existed. */
  async #open(commit: string, signal: AbortSignal): Promise<boolean> {
    if (await exists(join(this.dir, "HEAD"))) return true;
    await mkdir(join(this.dir, ".."), { recursive: true });
    // Create it next to its final path and rename it, so that a crash in between leaves nothing that looks like a
    // mirror.
    const making = `${this.dir}.tmp-${randomUUID()}`;
    const format = commit.length === 64 ? "sha256" : "sha1";
    await this.#git.check(["init", "--quiet", "--bare", "--template=", `--object-format=${format}`, making], {
      signal,
    });
    await writeFile(
      join(making, "config"),
      `[core]\n\trepositoryformatversion = ${format === "sha256" ? 1 : 0}\n\tbare = true\n${
        format === "sha256" ? "[extensions]\n\tobjectFormat = sha256\n" : ""
      }[uploadpack]\n\tallowAnySHA1InWant = true\n[fetch]\n\tunpackLimit = 1\n`,
    );
    await rename(making, this.dir);
    return false;
  }

  async remove(): Promise<void> {
    this.#commits = undefined;
    await rm(this.dir, { recursive: true, force: true });
  }

  /** Size on the disk. Counts only packs and Git LFS objects, which are nearly all of it. */
  async bytes(): Promise<number> {
    return (await bytesIn(join(this.dir, "objects", "pack"))) + (await bytesIn(this.lfsObjectsDir));
  }

  get #at(): readonly string[] {
    return [`--git-dir=${this.dir}`];
  }
}

/** Total size of a directory's files. Skips files that disappear meanwhile. */
async function bytesIn(dir: string): Promise<number> {
  const names = await readdir(dir).catch(() => []);
  const sizes = await Promise.all(
    names.map((name) =>
      stat(join(dir, name)).then(
        ({ size }) => size,
        () => 0,
      ),
    ),
  );
  return sizes.reduce((sum, size) => sum + size, 0);
}

async function exists(path: string): Promise<boolean> {
  return await stat(path).then(
    () => true,
    () => false,
  );
}
