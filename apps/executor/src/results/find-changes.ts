import { createHash } from "node:crypto";
import { constants } from "node:fs";
import { open, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { AirlockError, formatBytes } from "@airlock/job";
import type { Sandbox, TreeEntry } from "@airlock/runtime";
import type { LfsObject } from "../workspace/lfs/lfs-pointer.ts";
import { IgnoreRules } from "./ignore-rules.ts";
import { shownName } from "./shown-name.ts";
import { isUnsafeName } from "./unsafe-name.ts";

/** A file as a commit has it. */
export interface Tracked {
  readonly mode: string;
  readonly object: string;
  readonly size: number;
  /** The LFS object that a workspace may have in place of this pointer file. */
  readonly lfs?: LfsObject;
}

/** A changed or new file. */
export interface Change {
  readonly path: Buffer;
  readonly mode: "100644" | "100755" | "120000";
  /** Name of its copy in the executor's directory. A link's copy is a file that contains the target. */
  readonly copy: string;
}

export interface Changes {
  readonly changed: readonly Change[];
  readonly removed: readonly Buffer[];
  readonly problems: ProblemList;
}

export interface FindOptions {
  readonly sandbox: Pick<Sandbox, "walk">;
  /** The repository's directory in the workspace. */
  readonly directory: string;
  /** By path. Paths are latin1: one character per byte. */
  readonly tracked: ReadonlyMap<string, Tracked>;
  /** An empty directory of the executor. */
  readonly copyDir: string;
  /** Limit for changed and new files together. */
  readonly maximumBytes: number;
  readonly maximumEntries: number;
  readonly signal: AbortSignal;
}

/** Limit for the total size of all `.gitignore` files, because they are kept in memory. */
const maximumIgnoreBytes = 2 * 2 ** 20;
/** No real project nests deeper, and every level keeps a file descriptor open. */
const maximumDepth = 1000;
const maximumProblems = 20;

/** Messages for the job's log. */
export class ProblemList {
  readonly texts: string[] = [];

  add(path: Buffer, problem: string): void {
    if (this.texts.length < maximumProblems) this.texts.push(`${shownName(path)}: ${problem}: left out`);
  }
}

/**
 * Finds what differs from a commit by a walk that follows no links, and copies it to a directory of the executor. The
 * copies have numbers for names, so that nothing in them means anything to git.
 * @throws {AirlockError} `diff-too-large`, `diff-no-repository`, `too-many-files`, `unreadable`.
 */
export async function findChanges(options: FindOptions): Promise<Changes> {
  if (!(await hasDirectory(options))) {
    throw new AirlockError("the repository's directory was removed", { code: "diff-no-repository" });
  }
  const { tracked, copyDir } = options;
  const changed: Change[] = [];
  const problems = new ProblemList();
  const seen = new Set<string>();
  const tooDeep = new Set<string>();
  const untracked: Buffer[] = [];
  const ignoreFiles = new Map<string, string>();
  let ignoreBytes = 0;
  let bytes = 0;
  let copies = 0;
  const copy = async (entry: TreeEntry<Buffer>) => {
    bytes += entry.stats.size;
    if (bytes > options.maximumBytes) {
      throw new AirlockError(`changed and new files are larger than ${formatBytes(options.maximumBytes)} together`, {
        code: "diff-too-large",
      });
    }
    const name = String(copies);
    copies += 1;
    await copyEntry(entry, join(copyDir, name));
    changed.push({ path: entry.path, mode: modeOf(entry), copy: name });
  };

  /** Leaves out a file that cannot be read. */
  const reading = async (entry: TreeEntry<Buffer>, read: () => Promise<void>) => {
    try {
      await read();
    } catch (error) {
      if (!(error instanceof AirlockError && (error.code === "unreadable" || error.code === "not-a-file"))) throw error;
      problems.add(entry.path, "it cannot be read");
    }
  };

  for await (const entry of walkRepository(options, seen)) {
    const key = entry.path.toString("latin1");
    const { kind } = entry.stats;
    if (kind === "directory") {
      if (isAtMaximumDepth(entry.path)) {
        problems.add(entry.path, `directories are nested more than ${maximumDepth} levels deep`);
        tooDeep.add(key);
      }
      continue;
    }
    const before = tracked.get(key);
    if (kind === "other") {
      problems.add(entry.path, "not a file or link");
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
      await reading(entry, async () => {
        ignoreFiles.set(key.slice(0, Math.max(0, key.lastIndexOf("/"))), await textOf(entry));
      });
    }
    if (!before) continue;
    await reading(entry, async () => {
      if (!(await isSame(entry, before))) await copy(entry);
    });
  }
  const rules = new IgnoreRules(ignoreFiles, options.signal);
  const wanted = new Set<string>();
  for (const path of untracked) {
    const key = path.toString("latin1");
    if (!(await rules.ignores(key))) wanted.add(key);
  }
  if (wanted.size > 0) {
    for await (const entry of walkRepository(options, seen)) {
      if (entry.stats.kind === "directory" || !wanted.has(entry.path.toString("latin1"))) continue;
      const unsafe = isUnsafeName(entry.path, entry.stats.kind === "link");
      if (unsafe) problems.add(entry.path, "git does not take this name, because some systems take it for its own");
      else await reading(entry, () => copy(entry));
    }
  }
  const removed = [...tracked.keys()].filter((key) => !seen.has(key) && !tooDeep.has(directoryAtMaximumDepth(key)));
  return { changed, removed: removed.map((key) => Buffer.from(key, "latin1")), problems };
}

/** @param seen receives the submodules, which are not walked. */
function walkRepository(
  { sandbox, directory, tracked, maximumEntries, signal }: FindOptions,
  seen: Set<string>,
): AsyncIterable<TreeEntry<Buffer>> {
  return sandbox.walk<Buffer>(directory, {
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
    maximumEntries,
    maximumDepth,
    signal,
  });
}

/** Whether the repository's directory still exists in the workspace and is not a link. */
async function hasDirectory({ sandbox, directory, maximumEntries, signal }: FindOptions): Promise<boolean> {
  const names = directory.split("/");
  const name = names.pop() ?? "";
  if (name === "") return true;
  const walk = sandbox.walk<true>(names.join("/"), {
    start: true,
    advance: (_, found) => (found.toString() === name ? true : null),
    maximumEntries,
    maximumDepth: 0,
    signal,
  });
  for await (const { stats } of walk) return stats.kind === "directory";
  return false;
}

function isAtMaximumDepth(path: Buffer): boolean {
  return path.reduce((slashes, byte) => slashes + (byte === 0x2f ? 1 : 0), 0) >= maximumDepth;
}

/** The directory of a path at which the walk stops. Returns the path itself if it is not below one. */
function directoryAtMaximumDepth(path: string): string {
  let end = -1;
  for (let slashes = 0; slashes <= maximumDepth; slashes += 1) {
    end = path.indexOf("/", end + 1);
    if (end < 0) return path;
  }
  return path.slice(0, end);
}

function modeOf({ stats }: TreeEntry<Buffer>): Change["mode"] {
  return stats.kind === "link" ? "120000" : (stats.mode & 0o100) !== 0 ? "100755" : "100644";
}

async function textOf(entry: TreeEntry<Buffer>): Promise<string> {
  const parts: Buffer[] = [];
  for await (const bytes of entry.contents()) parts.push(bytes);
  return Buffer.concat(parts).toString("latin1");
}

async function isSame(entry: TreeEntry<Buffer>, { mode, object, size, lfs }: Tracked): Promise<boolean> {
  const { stats } = entry;
  if (modeOf(entry) !== mode) return false;
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

async function copyEntry(entry: TreeEntry<Buffer>, target: string): Promise<void> {
  if (entry.stats.kind === "link") {
    await writeFile(target, await entry.readLink());
    return;
  }
  const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
  const copy = await open(target, flags, 0o644);
  try {
    for await (const bytes of entry.contents()) await copy.writeFile(bytes);
  } finally {
    await copy.close();
  }
}

function isNamed(path: Buffer, name: string): boolean {
  return path.subarray(path.lastIndexOf(0x2f) + 1).equals(Buffer.from(name));
}
