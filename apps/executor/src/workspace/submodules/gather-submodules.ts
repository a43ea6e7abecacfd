import { join } from "node:path";
import { startDeadline } from "@airlock/async";
import { AirlockError, errorMessage, formatDuration } from "@airlock/job";
import type { LogEntry } from "../../logs/job-log.ts";
import type { MirrorLimits } from "../cache/mirror.ts";
import type { HeldSubmodule } from "../cache/place-submodules.ts";
import type { RepositoryCache } from "../cache/repository-cache.ts";
import { checkoutLimit } from "../checkout/checkout-errors.ts";
import type { CheckoutRequest } from "../checkout/checkout-request.ts";
import type { Git } from "../checkout/git.ts";
import { readSubmodules } from "./read-submodules.ts";
import { type RepositorySource, type SubmoduleHosts, submoduleSource } from "./submodule-source.ts";

export interface SubmoduleOptions {
  /** `direct`: the submodules of the job's own repository. `recursive`: also theirs, to a depth of 5. */
  readonly fetch: "none" | "direct" | "recursive";
  /** `HOST[:PORT]` of servers that submodules may come from, in addition to the instance. */
  readonly allowedHosts: readonly string[];
}

export interface GatherContext {
  readonly git: Git;
  readonly repositories: RepositoryCache;
  readonly options: SubmoduleOptions;
  readonly limits: MirrorLimits;
  readonly hosts: SubmoduleHosts;
  readonly entry: LogEntry;
  readonly signal: AbortSignal;
}

const maximumDepth = 5;
const maximumSubmodules = 100;

/**
 * Fetches all submodules of a commit, each with a mirror and a separate checkout. Never uses `git submodule`, which
 * works in the tree that the author wrote. Holds one mirror at a time, so that repositories that are each other's
 * submodules can't deadlock. Dispose the result when the submodules have been placed.
 * @throws {AirlockError} reason `checkout-invalid`, `checkout-unavailable` or `policy`, with the submodule's path.
 */
export async function gatherSubmodules(
  root: { readonly source: RepositorySource; readonly commit: string; readonly gitDir: string },
  outer: GatherContext,
): Promise<Disposable & { readonly submodules: readonly HeldSubmodule[] }> {
  const { maximumMs } = outer.limits;
  const text = `fetching the submodules took longer than ${formatDuration(maximumMs)}`;
  using deadline = startDeadline(maximumMs, () => checkoutLimit(text), outer.signal);
  const context = { ...outer, signal: deadline.signal };
  const budget: Budget = { files: outer.limits.maximumFiles, bytes: outer.limits.maximumBytes };
  const submodules: HeldSubmodule[] = [];
  const release = () => {
    for (const { base } of submodules) base[Symbol.dispose]();
  };
  try {
    await gatherBelow({ ...root, path: "", depth: 1 }, submodules, budget, context);
    return { submodules, [Symbol.dispose]: release };
  } catch (error) {
    release();
    throw error;
  }
}

interface Budget {
  files: number;
  bytes: number;
}

interface Level {
  readonly source: RepositorySource;
  readonly commit: string;
  readonly gitDir: string;
  readonly path: string;
  readonly depth: number;
}

async function gatherBelow(level: Level, found: HeldSubmodule[], budget: Budget, context: GatherContext) {
  const { git, options, hosts, entry, signal } = context;
  const place = { git, gitDir: level.gitDir, signal };
  for (const submodule of await readSubmodules(place, level.commit, maximumSubmodules)) {
    const path = level.path === "" ? submodule.path : `${level.path}/${submodule.path}`;
    if (found.length >= maximumSubmodules) throw checkoutLimit(`there are more than ${maximumSubmodules} submodules`);
    await inSubmodule(path, signal, async () => {
      const source = submoduleSource(submodule.url, level.source, hosts);
      entry.note(`${path}: ${source.repository} at ${submodule.commit}`);
      const base = await fetchSubmodule(source, submodule.commit, budget, context);
      found.push({ ...submodule, path, parent: level.path, repository: source.repository, base });
      if (options.fetch !== "recursive") return;
      const below = { source, commit: submodule.commit, gitDir: join(base.tree, ".git"), path, depth: level.depth + 1 };
      if (level.depth < maximumDepth) return await gatherBelow(below, found, budget, context);
      const deeper = await readSubmodules({ git, gitDir: below.gitDir, signal }, submodule.commit, maximumSubmodules);
      if (deeper.length > 0) throw checkoutLimit(`submodules are nested more than ${maximumDepth} levels deep`);
    });
  }
}

async function fetchSubmodule(source: RepositorySource, commit: string, budget: Budget, context: GatherContext) {
  const { repositories, entry, signal } = context;
  const request: CheckoutRequest = {
    repository: source.repository,
    commit,
    directory: "",
    depth: 1,
    tags: "none",
    sparse: [],
  };
  const mirror = repositories.mirrorFor(source.scope, request);
  return await mirror.exclusively(async () => {
    // The cache has repositories that only other jobs may read, and this job's author chose the name. So check that
    // this job may read it.
    if (!(await mirror.has(commit, signal))) {
      const onStderr = (bytes: Buffer) => void entry.write("stderr", bytes);
      await mirror.fetch(commit, source, { depth: 1, tags: "none", signal, onStderr });
    } else if (source.onInstance) {
      await mirror.proveReadable(source, signal);
    }
    await mirror.touch();
    const { files, bytes } = await mirror.measure(
      commit,
      { maximumFiles: budget.files, maximumBytes: budget.bytes },
      signal,
    );
    budget.files -= files;
    budget.bytes -= bytes;
    return await repositories.checkoutOf(source.scope, request, signal);
  }, signal);
}

/** Adds the submodule's path to an error. */
async function inSubmodule(path: string, signal: AbortSignal, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (cause) {
    signal.throwIfAborted();
    if (!(cause instanceof AirlockError) || cause.reason === undefined) throw cause;
    const { code, reason, hint } = cause;
    // Nested submodules: the innermost one has already added its path.
    if (cause.message.startsWith("submodule ")) throw cause;
    throw new AirlockError(`submodule ${JSON.stringify(path)}: ${errorMessage(cause)}`, {
      code,
      reason,
      cause,
      ...(hint ? { hint } : {}),
    });
  }
}
