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

/** Above this, old commits leave the mirror: each one costs a line in every negotiation. */
const maximumCommits = 256;
const watchIntervalMs = 500;
/** From the kernel; a longer path cannot be created. */
const maximumPathBytes = 4095;

/**
 * A bare repository on this machine with the commits that jobs needed: another one costs only what differs, and the same
 * one costs nothing. A repository has up to three: one for commits without history, one for commits with a part of it,
 * and one for commits with all of it. Git keeps one boundary of history per repository, so these cannot share one.
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

  /** Nobody changes the mirror while `work` runs. */
  async exclusively<T>(work: () => Promise<T>, signal: AbortSignal): Promise<T> {
    return await this.#mutex.run(work, signal);
  }

  async has(commit: string, signal: AbortSignal): Promise<boolean> {
    return (await this.#knownCommits(signal)).has(commit);
  }

  /** Whether all that `fetch` would bring is here already. */
  async hasAllOf(commit: string, { depth, tags }: Pick<CheckoutInput, "depth" | "tags">, signal: AbortSignal) {
    // Tags move, and another commit's fetch may have cut this one's history: only the instance knows.
    if (tags === "all" || (depth !== null && depth > 1)) return false;
    return await this.has(commit, signal);
  }

  /**
   * Finds the tags that lead to the commit's history, as they are at the source now, and brings their objects here. Call
   * it when the mirror has the commit.
   */
  async fetchReachableTags(commit: string, { url, headers }: MirrorSource, signal: AbortSignal): Promise<Tag[]> {
    return await this.#bounded(signal, async (bounded) => {
      const options = { signal: bounded };
      const remote = { ...options, credentials: { url, headers } };
      const listed = await listTags(this.#git, this.#at, url, remote);
      const tags = await reachableTags(this.#git, this.#at, commit, listed, options);
      // A ref of its own for each object: names of tags can be in each other's way, and move.
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

  /** Whether the mirror can tell that two commits have all but so many files in common. */
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

  /** Whether all `.gitattributes` of two commits are the same; `false` where the mirror cannot tell. */
  async haveSameAttributes(one: string, other: string, signal: AbortSignal): Promise<boolean> {
    if (!(await this.has(one, signal))) return false;
    const { exitCode } = await this.#git.run(
      [...this.#at, "diff-tree", "-r", "--quiet", one, other, "--", ":(top,glob)**/.gitattributes"],
      { signal },
    );
    return exitCode === 0;
  }

  /** Objects of Git LFS of this repository, by their id. Only for whoever holds the mirror exclusively. */
  get lfsObjectsDir(): string {
    return join(this.dir, "lfs", "objects");
  }

  /** In ms since 1970; 0 when it does not exist. */
  async lastUsed(): Promise<number> {
    return await stat(join(this.dir, "HEAD")).then(
      ({ mtimeMs }) => mtimeMs,
      () => 0,
    );
  }

  /** Notes that the mirror is of use, for whoever makes room later. */
  async touch(): Promise<void> {
    const now = new Date();
    await utimes(join(this.dir, "HEAD"), now, now);
  }

  /** Of all tags; another one means that a tag came, went or moved. */
  async tagsDigest(signal: AbortSignal): Promise<string> {
    const hash = createHash("sha256");
    await this.#git.check([...this.#at, "for-each-ref", "--format=%(objectname) %(refname)", "refs/tags/"], {
      signal,
      onStdout: (bytes) => hash.update(bytes),
    });
    return hash.digest("hex").slice(0, 16);
  }

  /**
   * Brings the commit here unless it is here already.
   * @throws {AirlockError} `checkout-invalid` for a commit that does not exist or is beyond the limits.
   */
  async fetch(commit: string, source: MirrorSource, options: FetchOptions): Promise<void> {
    const existed = await this.#open(commit, options.signal);
    try {
      await this.#fetchOnce(commit, source, options);
    } catch (error) {
      options.signal.throwIfAborted();
      // A mirror that a crash or a full disk has damaged looks like a broken source. Once more from nothing tells.
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
    // A ref keeps the commit from garbage collection and offers it in later negotiations. It counts as known only by its
    // second ref, when it was found to be within the limits: a crash in between leaves it unknown.
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
   * Runs `work` within the limits of time and of the mirror's growth: a pack can be far larger than it looks. Past the
   * size, the mirror is removed: another attempt would find the objects here and pass.
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
      // What came faster than the watch looks.
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
   * Asks the source whether the credentials still open it, without fetching.
   * @throws {AirlockError} as `fetch` does.
   */
  async proveReadable({ url, headers }: MirrorSource, signal: AbortSignal): Promise<void> {
    await this.#git.check([...this.#at, "ls-remote", "--quiet", url.href, "HEAD"], {
      signal,
      credentials: { url, headers },
    });
  }

  /** Counts the commit's files before any is written: a few kilobytes of trees can name billions of them. */
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

  /** Whether the directory can be worked in. */
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

  /** Makes the repository if it is not there; whether it was. */
  async #open(commit: string, signal: AbortSignal): Promise<boolean> {
    if (await exists(join(this.dir, "HEAD"))) return true;
    await mkdir(join(this.dir, ".."), { recursive: true });
    // Made beside its place and moved there whole: a crash in between leaves nothing that looks like a mirror.
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

  /** On disk; nearly all of it is packs and objects of Git LFS. */
  async bytes(): Promise<number> {
    return (await bytesIn(join(this.dir, "objects", "pack"))) + (await bytesIn(this.lfsObjectsDir));
  }

  get #at(): readonly string[] {
    return [`--git-dir=${this.dir}`];
  }
}

/** Of files that may go meanwhile. */
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
