import { createHash } from "node:crypto";
import { constants } from "node:fs";
import { copyFile, mkdir, open, stat, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { startDeadline } from "@airlock/async";
import { AirlockError, formatBytes, formatDuration } from "@airlock/job";
import type { Sandbox, TreeEntry } from "@airlock/runtime";
import type { Git } from "../workspace/checkout/git.ts";
import type { CommitSource } from "../workspace/job-directory.ts";
import type { LfsObject } from "../workspace/lfs/lfs-pointer.ts";
import { readLfsFiles } from "../workspace/lfs/read-lfs-files.ts";
import { IgnoreRules } from "./ignore-rules.ts";
import { shownName } from "./shown-name.ts";

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

interface Tracked {
  readonly mode: string;
  readonly object: string;
  readonly size: number;
  /** The LFS object that a workspace may have in place of this pointer file. */
  readonly lfs?: LfsObject;
}

/** Of all `.gitignore` files together: they are held in memory. */
const maximumIgnoreBytes = 2 * 2 ** 20;
const maximumProblems = 20;
/** No real project nests deeper, and every level keeps a file descriptor open. */
const maximumDepth = 1000;
const tooDeep = `directories are nested deeper than ${maximumDepth}`;

/**
 * Computes what the steps changed, in the format of `git diff`, for `git apply`. Git never reads the workspace, because
 * a step may have changed its `.git`, configuration, hooks and nested repositories. A walk that follows no links (see
 * `walkTree`) copies what differs from the commit to a directory of the executor. Git compares that copy in a
 * repository of the executor, which defines no drivers for filters or diffs that an attribute could name.
 * @throws {AirlockError} `diff-too-large`, `diff-too-slow`, `too-many-files`, `too-deep`, `diff-no-repository`, or git's own error.
 */
export async function workspaceDiff(options: DiffOptions): Promise<WorkspaceDiff> {
  const { maximumMs } = options.limits;
  const tooSlow = () =>
    new AirlockError(`comparing the workspace with its commit took longer than ${formatDuration(maximumMs)}`, {
      code: "diff-too-slow",
      hint: "Look for patterns with many stars in .gitattributes, and remove files that need not be compared.",
    });
  using deadline = startDeadline(maximumMs, tooSlow, options.signal);
  return await makeDiff({ ...options, signal: deadline.signal });
}

async function makeDiff(options: DiffOptions): Promise<WorkspaceDiff> {
  const { git, commit, scratchDir, limits, signal } = options;
  const { request } = commit;
  const gitDir = join(scratchDir, "git");
  const copyDir = join(scratchDir, "copy");
  await mkdir(copyDir, { recursive: true });
  await writeRepository(gitDir, commit);
  if (commit.base.commit !== request.commit) await commit.fetchInto(gitDir, signal);
  const at = [`--git-dir=${gitDir}`, `--work-tree=${copyDir}`, "-c", "core.bigFileThreshold=16m"];
  await git.check([...at, "read-tree", request.commit], { signal });
  const tracked = await listCommit(git, at, request.commit, signal);
  // Read the LFS files before anything is copied, while git still sees only the commit's own attributes.
  for (const { path, oid, size } of await readLfsFiles(git, at, { maximumFiles: limits.maximumEntries, signal })) {
    const entry = tracked.get(path);
    if (entry) tracked.set(path, { ...entry, lfs: { oid, size } });
  }
  const absent = await leftOut(options);

  if (!(await hasDirectory(options))) {
    throw new AirlockError("the repository's directory is gone", { code: "diff-no-repository" });
  }
  const changes = await findChanges(tracked, copyDir, options);
  await git.check([...at, "update-index", "-z", "--force-remove", "--stdin"], {
    signal,
    stdin: joinNames(changes.removed.filter((path) => !absent.has(path.toString("latin1")))),
  });
  // Adds existing files with the line endings and encodings of the commit's attributes.
  await git.check([...at, "update-index", "-z", "--add", "--replace", "--stdin"], {
    signal,
    stdin: joinNames(changes.copied),
  });
  const file = join(scratchDir, "workspace.diff");
  await git.check(
    [
      ...at,
      "diff-index",
      "--cached",
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
      "--",
    ],
    { signal },
  );
  const { size } = await stat(file);
  return { file: size > 0 ? file : null, bytes: size, problems: changes.problems };
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

/** Whether the repository's directory still exists in the workspace and is not a link. */
async function hasDirectory({ sandbox, commit, limits, signal }: DiffOptions): Promise<boolean> {
  const names = commit.request.directory.split("/");
  const name = names.pop() ?? "";
  if (name === "") return true;
  const walk = sandbox.walk<true>(names.join("/"), {
    start: true,
    advance: (_, found) => (found.toString() === name ? true : null),
    maximumEntries: limits.maximumEntries,
    maximumDepth: 0,
    signal,
  });
  for await (const { stats } of walk) return stats.kind === "directory";
  return false;
}

function isAtMaximumDepth(path: Buffer): boolean {
  return path.reduce((slashes, byte) => slashes + (byte === 0x2f ? 1 : 0), 0) >= maximumDepth;
}

interface Changes {
  /** Paths that were copied to the executor's directory. */
  readonly copied: readonly Buffer[];
  readonly removed: readonly Buffer[];
  readonly problems: readonly string[];
}

async function findChanges(
  tracked: ReadonlyMap<string, Tracked>,
  copyDir: string,
  { sandbox, commit, limits, signal }: DiffOptions,
): Promise<Changes> {
  const copied: Buffer[] = [];
  const problems: string[] = [];
  const seen = new Set<string>();
  const untracked: Buffer[] = [];
  const ignoreFiles = new Map<string, string>();
  let ignoreBytes = 0;
  let bytes = 0;
  const say = (path: Buffer, problem: string) => {
    if (problems.length < maximumProblems) problems.push(`${shownName(path)}: ${problem}`);
  };
  const copy = async (entry: TreeEntry<Buffer>) => {
    bytes += entry.stats.size;
    if (bytes > limits.maximumBytes) {
      throw new AirlockError(`changed and new files are larger than ${formatBytes(limits.maximumBytes)} together`, {
        code: "diff-too-large",
      });
    }
    await copyEntry(entry, copyDir);
    copied.push(entry.path);
  };
  const walk = () =>
    sandbox.walk<Buffer>(commit.request.directory, {
      start: Buffer.alloc(0),
      advance: (parent, name, isDirectory) => {
        // Git tracks no file of this name, in any case, since some file systems ignore case.
        if (name.toString("latin1").toLowerCase() === ".git") return null;
        const path = parent.length === 0 ? name : Buffer.concat([parent, Buffer.from("/"), name]);
        const key = path.toString("latin1");
        if (isDirectory && tracked.get(key)?.mode === "160000") {
          seen.add(key);
          return null;
        }
        return path;
      },
      maximumEntries: limits.maximumEntries,
      maximumDepth,
      signal,
    });

  for await (const entry of walk()) {
    const key = entry.path.toString("latin1");
    const { kind } = entry.stats;
    if (kind === "directory") {
      if (isAtMaximumDepth(entry.path)) throw new AirlockError(tooDeep, { code: "too-deep" });
      continue;
    }
    const before = tracked.get(key);
    if (kind === "other") {
      say(entry.path, "not a file or link, left out");
      continue;
    }
    if (before) seen.add(key);
    else untracked.push(entry.path);
    if (isNamed(entry.path, ".gitignore") && kind === "file") {
      ignoreBytes += entry.stats.size;
      if (ignoreBytes > maximumIgnoreBytes) {
        const limit = formatBytes(maximumIgnoreBytes);
        throw new AirlockError(`the .gitignore files are larger than ${limit} together`, { code: "diff-too-large" });
      }
      ignoreFiles.set(key.slice(0, Math.max(0, key.lastIndexOf("/"))), await textOf(entry));
    }
    if (before && !(await isSame(entry, before))) await copy(entry);
  }
  const rules = new IgnoreRules(ignoreFiles, signal);
  const wanted = new Set<string>();
  for (const path of untracked) {
    const key = path.toString("latin1");
    if (!(await rules.ignores(key))) wanted.add(key);
  }
  if (wanted.size > 0) {
    for await (const entry of walk()) {
      if (entry.stats.kind !== "directory" && wanted.has(entry.path.toString("latin1"))) await copy(entry);
    }
  }
  const removed = [...tracked.keys()].filter((key) => !seen.has(key)).map((key) => Buffer.from(key, "latin1"));
  return { copied, removed, problems };
}

async function textOf(entry: TreeEntry<Buffer>): Promise<string> {
  const parts: Buffer[] = [];
  for await (const bytes of entry.contents()) parts.push(bytes);
  return Buffer.concat(parts).toString("latin1");
}

async function isSame(entry: TreeEntry<Buffer>, { mode, object, size, lfs }: Tracked): Promise<boolean> {
  const { stats } = entry;
  const modeNow = stats.kind === "link" ? "120000" : (stats.mode & 0o100) !== 0 ? "100755" : "100644";
  if (modeNow !== mode) return false;
  if (lfs && stats.size === lfs.size) {
    const content = createHash("sha256");
    for await (const bytes of entry.contents()) content.update(bytes);
    if (content.digest("hex") === lfs.oid) return true;
  }
  if (stats.size !== size) return false;
  const hash = createHash(object.length === 64 ? "sha256" : "sha1").update(`blob ${size}\0`);
  if (stats.kind === "link") hash.update(await entry.readLink());
  else for await (const bytes of entry.contents()) hash.update(bytes);
  return hash.digest("hex") === object;
}

/** Copies an entry. This function created all parent directories in the copy, so none of them is a link. */
async function copyEntry(entry: TreeEntry<Buffer>, copyDir: string): Promise<void> {
  const { path, stats } = entry;
  const target = Buffer.concat([Buffer.from(`${copyDir}/`), path]);
  const slash = path.lastIndexOf(0x2f);
  if (slash > 0) await mkdir(target.subarray(0, target.length - path.length + slash), { recursive: true });
  if (stats.kind === "link") {
    await symlink(await entry.readLink(), target);
    return;
  }
  const mode = (stats.mode & 0o100) !== 0 ? 0o755 : 0o644;
  const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC | constants.O_NOFOLLOW;
  const copy = await open(target, flags, mode);
  try {
    for await (const bytes of entry.contents()) await copy.writeFile(bytes);
  } finally {
    await copy.close();
  }
}

function isNamed(path: Buffer, name: string): boolean {
  return path.subarray(path.lastIndexOf(0x2f) + 1).equals(Buffer.from(name));
}

function joinNames(paths: readonly Buffer[]): Buffer {
  const zero = Buffer.from([0]);
  return Buffer.concat(paths.flatMap((path) => [path, zero]));
}
