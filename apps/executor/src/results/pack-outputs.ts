import { AirlockError, errorMessage, formatBytes } from "@airlock/job";
import type { Sandbox, TreeEntry } from "@airlock/runtime";
import type { GlobState, OutputGlobs } from "./output-globs.ts";
import { shownName } from "./shown-name.ts";
import { tarEnd, tarHeader, tarPadding } from "./tar-entry.ts";

export interface OutputLimits {
  readonly maximumFiles: number;
  /** Of the files as they lie there: what a sparse file claims to hold, not what it takes. */
  readonly maximumBytes: number;
  readonly maximumEntries: number;
}

/** What was packed, and what was not and why. */
export interface PackReport {
  files: number;
  bytes: number;
  refusals: number;
  /** One sentence each, the first few. */
  readonly problems: string[];
  /** Globs that named something. */
  readonly used: Set<number>;
}

export function emptyReport(): PackReport {
  return { files: 0, bytes: 0, refusals: 0, problems: [], used: new Set() };
}

const maximumProblems = 20;
/** No real project nests deeper, and each level holds a file descriptor. */
const maximumDepth = 1000;
const tooDeep = `the directory is nested deeper than ${maximumDepth} others`;

/**
 * The files that the globs name as a tar archive, piece by piece; nothing at all when there are none. Only regular files
 * are taken; links, devices, sockets and pipes are refused and named in the report.
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
    /** Names are shown to people and kept: what of a path must not be seen is replaced. */
    readonly maskPath?: (path: Buffer) => Buffer;
    readonly signal: AbortSignal;
  },
): AsyncGenerator<Buffer> {
  const maskedPaths = new Set<string>();
  const nameOf = (path: Buffer): Buffer => {
    const masked = maskPath(path);
    if (masked.equals(path)) return path;
    // Two names may become one, and the later file would replace the earlier when they are unpacked.
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
    if (!(error instanceof AirlockError && error.code === "too-many-files")) throw error;
    // What was packed so far is whole.
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
    return `with its ${formatBytes(stats.size)} the outputs are larger than ${formatBytes(limits.maximumBytes)}`;
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
  // Opens the file: what can't be opened has no place in the archive.
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

/** How many directories are above something. */
function depthOf(path: Buffer): number {
  return path.reduce((slashes, byte) => slashes + (byte === 0x2f ? 1 : 0), 0);
}
