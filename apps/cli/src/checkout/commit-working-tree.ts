import { copyFile, lstat, mkdtemp, rm, stat, utimes } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { AirlockError, formatBytes } from "@airlock/job";
import { ProgramError } from "@airlock/process";
import { checkoutGit, type GitOptions } from "./checkout-git.ts";
import { describeChanges } from "./uncommitted-changes.ts";
import { type ChangedPath, listChanges } from "./working-tree.ts";

interface WorkingTreeLimits {
  /** Total size of the files that differ from the commit. */
  readonly bytes: number;
  readonly files: number;
}

/** How messages name the command. */
export interface WorkingTreeWords {
  /** What takes the working tree. */
  readonly subject: string;
  /** What to do to leave uncommitted changes out. */
  readonly without: string;
}

const workingTreeLimits: WorkingTreeLimits = { bytes: 256 * 2 ** 20, files: 20_000 };

export interface WorkingTreeCommit {
  /** Full id. No branch contains it, and `git gc` removes it after two weeks. */
  readonly commit: string;
  /** What it has beyond the checked-out commit, for people. */
  readonly description: string;
}

/**
 * Makes a commit of a checkout's working tree: tracked files as they are, and untracked files that are not ignored.
 * Writes objects only. Branches, the index and the files stay as they are, as with `git stash create`.
 * @returns `undefined` if the working tree is the checked-out commit.
 * @throws {AirlockError} `working-tree`, `git-missing`.
 */
export async function commitWorkingTree(
  root: string,
  options: GitOptions,
  limits: WorkingTreeLimits = workingTreeLimits,
  words: WorkingTreeWords = { subject: "--dirty", without: "submit without --dirty" },
): Promise<WorkingTreeCommit | undefined> {
  try {
    const changes = await listChanges(root, options);
    if (changes.length === 0) return undefined;
    refuseImpossible(changes, words);
    await refuseTooMuch(root, changes, limits, words);
    const commit = await makeCommit(root, options);
    return { commit, description: describeChanges(changes) };
  } catch (error) {
    if (!(error instanceof ProgramError)) throw error;
    throw failure(`git cannot take the working tree of ${root}: ${firstLine(error.message)}`, {
      hint: "Check that `git add --all --dry-run` works there, and that you may write into its .git directory.",
      cause: error,
    });
  }
}

function refuseImpossible(changes: readonly ChangedPath[], { subject, without }: WorkingTreeWords): void {
  const named = (found: ChangedPath | undefined) => found?.path.toString().replace(/\/$/, "");
  const unmerged = named(changes.find(({ kind }) => kind === "unmerged"));
  if (unmerged !== undefined) {
    throw failure(`${unmerged} has a merge conflict`, { hint: `Resolve it, or ${without}.` });
  }
  const submodule = named(changes.find(({ isDirtySubmodule }) => isDirtySubmodule));
  if (submodule !== undefined) {
    throw failure(`the submodule ${submodule} has uncommitted changes, which ${subject} cannot include`, {
      hint: `Executors fetch submodules from their own addresses: commit and push there, or ${without}.`,
    });
  }
  // git lists untracked files one by one. Only a repository is listed as a directory.
  const nested = named(changes.find(({ kind, path: name }) => kind === "untracked" && name.at(-1) === 0x2f));
  if (nested !== undefined) {
    throw failure(`${nested} is a nested git repository, which ${subject} cannot include`, {
      hint: `Add it to .gitignore or .git/info/exclude, or ${without}.`,
    });
  }
}

async function refuseTooMuch(
  root: string,
  changes: readonly ChangedPath[],
  limits: WorkingTreeLimits,
  { subject }: WorkingTreeWords,
): Promise<void> {
  if (changes.length > limits.files) {
    throw failure(`${changes.length} files are not committed, and ${subject} takes at most ${limits.files}`, tooMuch);
  }
  let total = 0;
  let largest = { name: "", size: 0 };
  for (const change of changes) {
    const size = await sizeOf(Buffer.concat([Buffer.from(`${root}/`), change.path]));
    total += size;
    if (size > largest.size) largest = { name: change.path.toString(), size };
  }
  if (total > limits.bytes) {
    const most = `the largest is ${largest.name} with ${formatBytes(largest.size)}`;
    const sizes = `${formatBytes(total)}, and ${subject} takes at most ${formatBytes(limits.bytes)}`;
    throw failure(`the uncommitted files have ${sizes}; ${most}`, tooMuch);
  }
}

const tooMuch = { hint: "Add what the job does not need to .gitignore, or commit it." };

async function sizeOf(file: Buffer): Promise<number> {
  try {
    const found = await lstat(file);
    return found.isDirectory() ? 0 : found.size;
  } catch (error) {
    // A deleted file.
    if (error instanceof Error && "code" in error && (error.code === "ENOENT" || error.code === "ENOTDIR")) return 0;
    throw error;
  }
}

async function makeCommit(root: string, options: GitOptions): Promise<string> {
  const directory = await mkdtemp(path.join(tmpdir(), "airlock-index-"));
  try {
    const index = path.join(directory, "index");
    const own = (await text(root, ["rev-parse", "--path-format=absolute", "--git-path", "index"], options)).trim();
    await copyIndex(own, index);
    const inIndex = { ...options, set: { ...options.set, GIT_INDEX_FILE: index } };
    await checkoutGit(root, ["add", "--all"], inIndex);
    const tree = (await text(root, ["write-tree"], inIndex)).trim();
    const head = await headOf(root, options);
    // With the commit's own time, the same tree is the same commit, whenever it is submitted.
    const date = head === undefined ? "@0 +0000" : `@${head.time} +0000`;
    const person = { NAME: "Airlock", EMAIL: "airlock@localhost", DATE: date };
    const people = Object.entries(person).flatMap(([name, value]) => [
      [`GIT_AUTHOR_${name}`, value],
      [`GIT_COMMITTER_${name}`, value],
    ]);
    const parent = head === undefined ? [] : ["-p", head.commit];
    const args = ["commit-tree", tree, ...parent, "-m", "Working tree of a submitted job"];
    return (await text(root, args, { ...options, set: { ...options.set, ...Object.fromEntries(people) } })).trim();
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

/** The person's index knows which files are unchanged, and what they excluded from a sparse checkout. */
async function copyIndex(from: string, to: string): Promise<void> {
  try {
    const { mtimeMs } = await stat(from);
    await copyFile(from, to);
    // git reads a file again that is not older than its index, because it may have changed in the same moment. A copy
    // with a later time would hide such changes.
    const seconds = Math.floor(mtimeMs / 1000);
    await utimes(to, seconds, seconds);
  } catch (error) {
    // A new repository has no index.
    if (!(error instanceof Error && "code" in error && error.code === "ENOENT")) throw error;
  }
}

/** The checked-out commit; `undefined`: the branch has none yet. */
async function headOf(root: string, options: GitOptions): Promise<{ commit: string; time: string } | undefined> {
  try {
    const found = await text(root, ["log", "-1", "--no-show-signature", "--format=%H %ct", "HEAD"], options);
    const [commit = "", time = ""] = found.trim().split(" ");
    return { commit, time };
  } catch (error) {
    if (error instanceof ProgramError && error.fault === "failed") return undefined;
    throw error;
  }
}

async function text(root: string, args: readonly string[], options: GitOptions): Promise<string> {
  return (await checkoutGit(root, args, options)).toString();
}

function failure(message: string, options: { readonly hint: string; readonly cause?: unknown }): AirlockError {
  return new AirlockError(message, { code: "working-tree", ...options });
}

function firstLine(message: string): string {
  return (message.split("\n")[0] ?? "").replace(/^(?:fatal|error): /, "");
}
