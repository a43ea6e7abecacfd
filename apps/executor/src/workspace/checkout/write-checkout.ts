import { mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { CheckoutRequest } from "./checkout-request.ts";
import type { Git } from "./git.ts";
import { reachableTags, type Tag } from "./reachable-tags.ts";

export interface WriteCheckoutOptions {
  readonly git: Git;
  /** The workspace's root. The repository is in its directory `request.directory`. */
  readonly tree: string;
  readonly request: CheckoutRequest;
  /** For `reachable` tags: the existing tags. Those outside of the history are left out. */
  readonly tags: readonly Tag[];
  readonly mirrorDir: string;
  /** The commit that the tree already has; `null`: the tree does not exist yet. */
  readonly base: string | null;
  readonly signal: AbortSignal;
  readonly onStderr?: (bytes: Buffer) => void;
}

/**
 * Creates a separate repository with the commit checked out, or updates an existing one from its base to the commit.
 * The needed objects are copied from the mirror, so that steps can use git. Nothing in the repository refers to the
 * host: no alternates, hard links, paths or credentials. Call it only before any step has run.
 */
export async function writeCheckout(options: WriteCheckoutOptions): Promise<void> {
  const { git, tree, request, mirrorDir, base, signal, onStderr } = options;
  const worktree = join(tree, request.directory);
  const gitDir = join(worktree, ".git");
  if (base === null) await writeEmptyRepository(worktree, gitDir, request);
  const at = [`--git-dir=${gitDir}`, `--work-tree=${worktree}`];
  const allTags = request.tags === "all";
  const output = onStderr ? { onStderr } : {};
  await git.check(
    [
      ...at,
      "fetch",
      "--progress",
      "--no-recurse-submodules",
      "--no-write-fetch-head",
      ...(request.depth === null ? [] : [`--depth=${request.depth}`]),
      ...(allTags ? ["--tags", "--force"] : ["--no-tags"]),
      // No ref points to the base. Naming it lets the mirror send only the difference.
      ...(base === null ? [] : [`--negotiation-tip=${base}`]),
      mirrorDir,
      request.commit,
      ...(allTags ? ["+refs/tags/*:refs/tags/*"] : []),
    ],
    // The mirror already checked the objects.
    { signal, localTransport: true, ...output },
  );
  await writeTags(git, at, options);
  await git.check([...at, "checkout", "--progress", "--force", "--detach", request.commit], { signal, ...output });
  await rm(join(gitDir, "FETCH_HEAD"), { force: true });
}

/** Replaces the tags by those that lead to the fetched history, since the mirror may have more history. */
async function writeTags(git: Git, at: readonly string[], options: WriteCheckoutOptions): Promise<void> {
  const { request, mirrorDir, signal } = options;
  if (request.tags !== "reachable") return;
  const tags = await reachableTags(git, at, request.commit, options.tags, { signal });
  const objects = tags.filter(({ id, target }) => id !== target).map(({ id }) => `${id}\n`);
  if (objects.length > 0) {
    const args = ["fetch", "--quiet", "--no-recurse-submodules", "--no-write-fetch-head", "--no-tags", "--stdin"];
    await git.check([...at, ...args, mirrorDir], { signal, localTransport: true, stdin: objects.join("") });
  }
  const { stdout } = await git.check([...at, "for-each-ref", "--format=delete %(refname)", "refs/tags/"], { signal });
  await git.check([...at, "update-ref", "--stdin"], { signal, stdin: stdout });
  const stdin = tags.map(({ name, id }) => `create ${name} ${id}\n`).join("");
  await git.check([...at, "update-ref", "--stdin"], { signal, stdin });
}

async function writeEmptyRepository(worktree: string, gitDir: string, request: CheckoutRequest): Promise<void> {
  // Creates everything that `git init` creates, because programs that install hooks may expect their directory to
  // exist.
  for (const dir of ["objects/info", "objects/pack", "refs/heads", "refs/tags", "info", "hooks"]) {
    await mkdir(join(gitDir, dir), { recursive: true });
  }
  await writeFile(join(gitDir, "HEAD"), "ref: refs/heads/main\n");
  await writeFile(join(gitDir, "config"), repositoryConfig(request));
  if (request.sparse.length > 0) {
    await writeFile(join(gitDir, "info", "sparse-checkout"), `${request.sparse.join("\n")}\n`);
  }
  await mkdir(worktree, { recursive: true });
}

function repositoryConfig({ repository, commit, sparse }: CheckoutRequest): string {
  const sha256 = commit.length === 64;
  return [
    "[core]",
    `\trepositoryformatversion = ${sha256 ? 1 : 0}`,
    "\tfilemode = true",
    "\tbare = false",
    // The index was written in the original tree. In a copy, inode numbers and change times differ.
    "\tcheckStat = minimal",
    "\ttrustctime = false",
    ...(sparse.length > 0 ? ["\tsparseCheckout = true", "\tsparseCheckoutCone = false"] : []),
    ...(sha256 ? ["[extensions]", "\tobjectFormat = sha256"] : []),
    '[remote "origin"]',
    // The repository's name instead of a URL, because steps have no credentials for fetching.
    `\turl = "${repository.replaceAll('"', '\\"')}"`,
    "\tfetch = +refs/heads/*:refs/remotes/origin/*",
    "[gc]",
    "\tauto = 0",
    "",
  ].join("\n");
}
