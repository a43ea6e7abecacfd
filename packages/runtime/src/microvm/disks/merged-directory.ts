import { type BigIntStats, closeSync, constants, lstatSync, openSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { setImmediate as nextTurn } from "node:timers/promises";
import type { Abortable } from "../../contract/index.ts";
import { onDisk } from "../../images/unpack/layer-stack.ts";

/** An entry of a directory that is merged from layers. */
export interface MergedEntry {
  /** Latin1 string of the name's bytes. */
  readonly name: string;
  /** Paths of the entry, topmost first: one, or one per layer for a directory. */
  readonly paths: readonly string[];
  readonly stats: BigIntStats;
}

/** Longer paths are shortened: the kernel refuses those of 4,096 bytes, and looks each name up again at every call. */
const longestPath = 500;
/** Looking at an entry takes microseconds, so that many of them hold other tasks up for a millisecond. */
const entriesPerTurn = 256;

/**
 * Lists a directory of stacked layers as overlayfs would show it: upper entries hide lower ones, and a whiteout hides
 * them all. No link is followed. Names and paths are latin1 strings of their bytes.
 */
export async function readMergedDirectory(
  directories: readonly string[],
  { signal }: Abortable,
): Promise<readonly MergedEntry[]> {
  let looked = 0;
  const entries = new Map<string, { paths: string[]; stats: BigIntStats; isOpen: boolean }>();
  for (const directory of directories) {
    for (const name of await readdir(onDisk(directory), { encoding: "latin1" })) {
      signal.throwIfAborted();
      looked += 1;
      if (looked % entriesPerTurn === 0) await nextTurn();
      const present = entries.get(name);
      if (present && !present.isOpen) continue;
      const path = join(directory, name);
      const stats = lstatSync(onDisk(path), { bigint: true });
      if (!present) {
        const isWhiteout = stats.isCharacterDevice() && stats.rdev === 0n;
        entries.set(name, { paths: isWhiteout ? [] : [path], stats, isOpen: stats.isDirectory() });
      } else if (stats.isDirectory()) present.paths.push(path);
      // What is below a file or a whiteout is hidden from the directories above it, too.
      else present.isOpen = false;
    }
  }
  return [...entries].flatMap(([name, { paths, stats }]) => (paths.length === 0 ? [] : [{ name, paths, stats }]));
}

/**
 * Replaces paths that become too long by ones through descriptors of their directories, which stay open until the
 * result is disposed of.
 */
export function shortened(paths: readonly string[]): Disposable & { readonly paths: readonly string[] } {
  if (paths.every((path) => path.length <= longestPath)) return { paths, [Symbol.dispose]: () => {} };
  using opened = new DisposableStack();
  const flags = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW;
  const short = paths.map((path) => {
    const descriptor = openSync(onDisk(path), flags);
    opened.defer(() => closeSync(descriptor));
    return `/proc/self/fd/${descriptor}`;
  });
  const kept = opened.move();
  return { paths: short, [Symbol.dispose]: () => kept.dispose() };
}
