import { AirlockError, errorMessage, formatBytes } from "@airlock/job";
import type { Sandbox, TreeEntry } from "@airlock/runtime";
import type { GlobState, OutputGlobs } from "./output-globs.ts";
import { shownName } from "./shown-name.ts";
import { tarEnd, tarHeader, tarPadding } from "./tar-entry.ts";

export interface OutputLimits {
  readonly maximumFiles: number;
  /** Limit for the total apparent size of the files. A sparse file counts with its full length. */
  readonly maximumBytes: number;
  readonly maximumEntries: number;
}

/** What was packed, and what was not packed and why. */
export interface PackReport {
  files: number;
  bytes: number;
  refusals: number;
  /** One sentence for each of the first few refusals. */
  readonly problems: string[];
  /** Indices of globs that matched something. */
  readonly used: Set<number>;
}

export function emptyReport(): PackReport {
  return { files: 0, bytes: 0, refusals: 0, problems: [], used: new Set() };
}

const maximumProblems = 20;
/** No real project nests deeper, and every level keeps a file descriptor open. */
const maximumDepth = 1000;
const tooDeep = `the directory is nested more than ${maximumDepth} levels deep`;

/**
 * Packs the matching files as a tar archive, in pieces. Yields nothing when no file matches. Packs only regular files.
 * Links, devices, sockets and pipes are refused and listed in the report.
 */
export async function* packOutputs(
  sandbox: Pick<Sandbox, "walk">,
  globs: OutputGlobs,
  report: PackReport,
  {
    limits,
    maskPath = (path) => path,
    signal,
  }: {
    readonly limits: OutputLimits;
    /** Masks secrets in a path, because people see the names in the archive. */
    readonly maskPath?: (path: Buffer) => Buffer;
    readonly signal: AbortSignal;
  },
): AsyncGenerator<Buffer> {
  const maskedPaths = new Set<string>();
  const nameOf = (path: Buffer): Buffer => {
    const masked = maskPath(path);
    if (masked.equals(path)) return path;
    // Masking may give two files the same name. Unpacking would then overwrite the first one.
    let name = masked;
    for (let count = 2; maskedPaths.has(name.toString("latin1")); count += 1) {
      name = Buffer.concat([masked, Buffer.from(`~${count}`)]);
    }
    maskedPaths.add(name.toString("latin1"));
    return name;
  };
  const walk = sandbox.walk<GlobState>("", {
    start: globs.start,
    advance: (state, name, isDirectory) => {
      const next = globs.advance(state, name);
      return isDirectory || (next && next.within.length > 0) ? next : null;
    },
    maximumEntries: limits.maximumEntries,
    maximumDepth,
    signal,
  });
  try {
    for await (const entry of walk) {
      if (entry.stats.kind === "directory") {
        if (depthOf(entry.path) >= maximumDepth) refuse(report, maskPath(entry.path), tooDeep);
        continue;
      }
      for (const glob of entry.state.within) report.used.add(glob);
      const problem = problemOf(entry, report, limits);
      if (problem) refuse(report, maskPath(entry.path), problem);
      else yield* packFile(entry, nameOf(entry.path), report);
    }
  } catch (error) {
    const isOfTheJob =
      error instanceof AirlockError && (error.code === "too-many-files" || error.code === "unreadable");
    if (!isOfTheJob) throw error;
    // The files that were packed so far are complete.
    report.refusals += 1;
    report.problems.push(`stopped: ${errorMessage(error)}`);
  }
  if (report.files > 0) yield tarEnd;
}

function problemOf({ stats }: TreeEntry<GlobState>, report: PackReport, limits: OutputLimits): string | undefined {
  if (stats.kind === "link") return "a symbolic link, which is not followed";
  if (stats.kind !== "file") return "not a regular file";
  if (report.files >= limits.maximumFiles) return `more than ${limits.maximumFiles} files`;
  if (report.bytes + stats.size > limits.maximumBytes) {
    return `with this file of ${formatBytes(stats.size)}, the outputs would be larger than ${formatBytes(limits.maximumBytes)}`;
  }
  return undefined;
}

function refuse(report: PackReport, path: Buffer, problem: string): void {
  report.refusals += 1;
  if (report.problems.length < maximumProblems) report.problems.push(`${shownName(path)} not kept: ${problem}`);
}

async function* packFile(entry: TreeEntry<GlobState>, name: Buffer, report: PackReport): AsyncGenerator<Buffer> {
  const { stats } = entry;
  const contents = entry.contents()[Symbol.asyncIterator]();
  // Opens the file. A file that can't be opened must not appear in the archive.
  let piece: IteratorResult<Buffer>;
  try {
    piece = await contents.next();
  } catch (error) {
    refuse(report, name, errorMessage(error));
    return;
  }
  try {
    report.files += 1;
    report.bytes += stats.size;
    yield tarHeader(name, stats.size, (stats.mode & 0o100) !== 0);
    let bytes = 0;
    for (; !piece.done; piece = await contents.next()) {
      bytes += piece.value.length;
      yield piece.value;
    }
    if (bytes !== stats.size) throw new Error(`${shownName(name)} became shorter while it was read`);
    yield tarPadding(stats.size);
  } finally {
    await contents.return?.();
  }
}

/** Number of directories above a path. */
function depthOf(path: Buffer): number {
  return path.reduce((slashes, byte) => slashes + (byte === 0x2f ? 1 : 0), 0);
}
