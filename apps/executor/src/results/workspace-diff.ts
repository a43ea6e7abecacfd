import { copyFile, mkdir, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { startDeadline } from "@airlock/async";
import { AirlockError, formatBytes, formatDuration } from "@airlock/job";
import type { Sandbox } from "@airlock/runtime";
import type { Git } from "../workspace/checkout/git.ts";
import type { CommitSource } from "../workspace/job-directory.ts";
import { maximumPointerBytes, parseLfsPointer } from "../workspace/lfs/lfs-pointer.ts";
import { readBlobs } from "../workspace/lfs/read-blobs.ts";
import { conversionAttributes, convertChanges } from "./convert-changes.ts";
import { DiffGit } from "./diff-git.ts";
import { findChanges, type Tracked } from "./find-changes.ts";
import { TreeAttributes } from "./tree-attributes.ts";

export interface DiffOptions {
  readonly git: Git;
  /** The sandbox whose workspace has the repository in `commit.request.directory`. */
  readonly sandbox: Pick<Sandbox, "walk">;
  readonly commit: CommitSource;
  /** An empty directory of the executor, outside of the workspace. */
  readonly scratchDir: string;
  readonly limits: DiffLimits;
  readonly signal: AbortSignal;
}

interface DiffLimits {
  /** Limit for changed and new files together. */
  readonly maximumBytes: number;
  readonly maximumEntries: number;
  readonly maximumMs: number;
}

export interface WorkspaceDiff {
  /** `null`: there is no difference. */
  readonly file: string | null;
  readonly bytes: number;
  readonly problems: readonly string[];
}

/** Limit for the total size of the commit's `.gitattributes` files, because they are kept in memory. */
const maximumAttributesBytes = 2 * 2 ** 20;

/**
 * Computes what the steps changed, in the format of `git diff`, for `git apply`. Git never reads the workspace, because
 * a step may have changed its `.git`, configuration, hooks and nested repositories. A walk that follows no links copies
 * what differs from the commit to a directory of the executor (`findChanges`). Git compares that copy in a repository
 * of the executor.
 *
 * Only the commit's attributes that convert contents count, because git wrote the checkout with them. They are matched
 * here and not by git, because a hostile pattern could keep git busy forever.
 * @throws {AirlockError} `diff-failed`, `diff-too-large`, `diff-too-slow`, `too-many-files`, `unreadable`,
 * `diff-no-repository`, or git's own error.
 */
export async function workspaceDiff(options: DiffOptions): Promise<WorkspaceDiff> {
  const { maximumMs } = options.limits;
  const tooSlow = () =>
    new AirlockError(`comparing the workspace with its commit took longer than ${formatDuration(maximumMs)}`, {
      code: "diff-too-slow",
      hint: "Remove files that need not be compared, or name them in .gitignore.",
    });
  using deadline = startDeadline(maximumMs, tooSlow, options.signal);
  return await makeDiff({ ...options, signal: deadline.signal });
}

async function makeDiff(options: DiffOptions): Promise<WorkspaceDiff> {
  const { git, sandbox, commit, scratchDir, limits, signal } = options;
  const { request } = commit;
  const gitDir = join(scratchDir, "git");
  const copyDir = join(scratchDir, "copy");
  await mkdir(copyDir, { recursive: true });
  await writeRepository(gitDir, commit);
  if (commit.base.commit !== request.commit) await commit.fetchInto(gitDir, signal);
  const at = [`--git-dir=${gitDir}`, `--work-tree=${copyDir}`];
  const tracked = await listCommit(git, at, request.commit, signal);
  const absent = await leftOut(options);
  const attributes = await readAttributes(git, at, tracked, signal);
  await markLfsFiles(git, at, { tracked, absent, attributes, signal });
  const changes = await findChanges({
    sandbox,
    directory: request.directory,
    tracked,
    copyDir,
    maximumBytes: limits.maximumBytes,
    maximumEntries: limits.maximumEntries,
    signal,
  });

  const diffGit = new DiffGit(git, gitDir, copyDir, signal);
  const { problems } = changes;
  const objects = await convertChanges(changes.changed, { git: diffGit, gitDir, attributes, tracked, problems });
  await rm(join(gitDir, "index"), { force: true });
  await diffGit.check(["read-tree", request.commit]);
  const zero = "0".repeat(request.commit.length);
  await diffGit.check(["update-index", "-z", "--index-info"], {
    stdin: Buffer.concat([
      ...changes.removed
        .filter((path) => !absent.has(path.toString("latin1")))
        .flatMap((path) => [Buffer.from(`0 ${zero}\t`), path, Buffer.from([0])]),
      ...[...objects].flatMap(([{ mode, path }, object]) => [
        Buffer.from(`${mode} ${object}\t`),
        path,
        Buffer.from([0]),
      ]),
    ]),
  });
  const { stdout } = await diffGit.check(["write-tree", "--missing-ok"]);
  // Without an index and files, git finds no attributes that could make the comparison slow.
  await rm(join(gitDir, "index"));
  await rm(copyDir, { recursive: true });
  await mkdir(copyDir);
  const file = join(scratchDir, "workspace.diff");
  await diffGit.check([
    "diff-tree",
    "-r",
    "-p",
    "--binary",
    "--full-index",
    "--no-renames",
    "--no-ext-diff",
    "--no-textconv",
    "--no-color",
    "--ignore-submodules=all",
    "--src-prefix=a/",
    "--dst-prefix=b/",
    `--output=${file}`,
    request.commit,
    stdout.trim(),
    "--",
  ]);
  const { size } = await stat(file);
  return { file: size > 0 ? file : null, bytes: size, problems: problems.texts };
}

/** Reads the commit's own attribute files, also those that a sparse checkout left out: git applied them, too. */
async function readAttributes(
  git: Git,
  at: readonly string[],
  tracked: ReadonlyMap<string, Tracked>,
  signal: AbortSignal,
): Promise<TreeAttributes> {
  const found = [...tracked].filter(
    ([path, { mode }]) => /^100/.test(mode) && (path === ".gitattributes" || path.endsWith("/.gitattributes")),
  );
  if (found.reduce((bytes, [, { size }]) => bytes + size, 0) > maximumAttributesBytes) {
    const limit = formatBytes(maximumAttributesBytes);
    throw new AirlockError(`the commit's .gitattributes files are larger than ${limit} together`, {
      code: "diff-too-large",
    });
  }
  const objects = [...new Set(found.map(([, { object }]) => object))];
  const contents = objects.length === 0 ? new Map<string, Buffer>() : await readBlobs(git, at, objects, signal);
  const files = new Map<string, string>();
  for (const [path, { object }] of found) {
    files.set(path.slice(0, Math.max(0, path.lastIndexOf("/"))), contents.get(object)?.toString("latin1") ?? "");
  }
  return new TreeAttributes(files, [...conversionAttributes, "filter"], signal);
}

/** Marks the pointer files of Git LFS, which a workspace may have as their content. */
async function markLfsFiles(
  git: Git,
  at: readonly string[],
  {
    tracked,
    absent,
    attributes,
    signal,
  }: {
    readonly tracked: Map<string, Tracked>;
    readonly absent: ReadonlySet<string>;
    readonly attributes: TreeAttributes;
    readonly signal: AbortSignal;
  },
): Promise<void> {
  const pointers: [string, Tracked][] = [];
  for (const [path, entry] of tracked) {
    if (!/^100/.test(entry.mode) || entry.size === 0 || entry.size > maximumPointerBytes || absent.has(path)) continue;
    if ((await attributes.of(path)).get("filter") === "lfs") pointers.push([path, entry]);
  }
  if (pointers.length === 0) return;
  const contents = await readBlobs(git, at, [...new Set(pointers.map(([, { object }]) => object))], signal);
  for (const [path, entry] of pointers) {
    const lfs = parseLfsPointer(contents.get(entry.object) ?? Buffer.alloc(0));
    if (lfs) tracked.set(path, { ...entry, lfs });
  }
}

/** Creates a repository that borrows its objects from the checkout that the workspace started from. */
async function writeRepository(gitDir: string, { base, request }: CommitSource): Promise<void> {
  for (const dir of ["objects/info", "refs/heads", "info"]) await mkdir(join(gitDir, dir), { recursive: true });
  const baseGitDir = join(base.tree, request.directory, ".git");
  const sha256 = request.commit.length === 64;
  await writeFile(join(gitDir, "HEAD"), "ref: refs/heads/none\n");
  await writeFile(
    join(gitDir, "config"),
    [
      `[core]\n\trepositoryformatversion = ${sha256 ? 1 : 0}\n\tfilemode = true\n\tbare = false\n`,
      ...(sha256 ? ["[extensions]\n\tobjectFormat = sha256\n"] : []),
    ].join(""),
  );
  await writeFile(join(gitDir, "objects/info/alternates"), `${join(baseGitDir, "objects")}\n`);
  await copyFile(join(baseGitDir, "shallow"), join(gitDir, "shallow")).catch((error: NodeJS.ErrnoException) => {
    // A base with its full history has no such file.
    if (error.code !== "ENOENT") throw error;
  });
}

/**
 * Returns the files that a sparse checkout left out, so that they don't count as removed. Paths are latin1. The
 * checkout that the workspace started from has this information. If that was of another commit, git writes a checkout
 * of this commit. It uses the job's original patterns, because a step may have changed those in the workspace.
 */
async function leftOut({ git, commit, scratchDir, signal }: DiffOptions): Promise<ReadonlySet<string>> {
  const left = new Set<string>();
  const { base, request } = commit;
  if (request.sparse.length === 0) return left;
  const worktree = join(base.tree, request.directory);
  let at = [`--git-dir=${join(worktree, ".git")}`, `--work-tree=${worktree}`];
  if (base.commit !== request.commit) {
    const gitDir = join(scratchDir, "sparse-git");
    const treeDir = join(scratchDir, "sparse-tree");
    await mkdir(treeDir);
    await writeRepository(gitDir, commit);
    await commit.fetchInto(gitDir, signal);
    await writeFile(join(gitDir, "info", "sparse-checkout"), `${request.sparse.join("\n")}\n`);
    at = [`--git-dir=${gitDir}`, `--work-tree=${treeDir}`];
    const sparse = ["-c", "core.sparseCheckout=true", "-c", "core.sparseCheckoutCone=false"];
    await git.check([...at, ...sparse, "read-tree", "-m", "-u", request.commit], { signal });
  }
  let rest = "";
  await git.check([...at, "ls-files", "-t", "-z"], {
    signal,
    onStdout: (bytes) => {
      const lines = (rest + bytes.toString("latin1")).split("\0");
      rest = lines.pop() ?? "";
      for (const line of lines) if (line.startsWith("S ")) left.add(line.slice(2));
    },
  });
  return left;
}

/** Lists the files of a commit by path. Paths are latin1: one character per byte. */
async function listCommit(git: Git, at: readonly string[], commit: string, signal: AbortSignal) {
  const tracked = new Map<string, Tracked>();
  let rest = "";
  await git.check([...at, "ls-tree", "-r", "-l", "-z", "--full-tree", commit], {
    signal,
    onStdout: (bytes) => {
      const lines = (rest + bytes.toString("latin1")).split("\0");
      rest = lines.pop() ?? "";
      for (const line of lines) {
        const tab = line.indexOf("\t");
        const [mode = "", , object = "", size] = line.slice(0, tab).split(/ +/);
        tracked.set(line.slice(tab + 1), { mode, object, size: Number(size) || 0 });
      }
    },
  });
  return tracked;
}
