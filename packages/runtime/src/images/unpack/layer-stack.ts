import type { Stats } from "node:fs";
import { lstat, open, readdir, readlink } from "node:fs/promises";
import { join } from "node:path";
import { errorCode } from "../../host/error-code.ts";

/** Maximum number of symbolic links in one path, as in the kernel. */
const maxLinks = 40;

export interface StackEntry {
  readonly stats: Stats;
  /** Path in the topmost layer that has the entry. */
  readonly path: string;
}

/** A resolved path: none of its components is a link. */
export interface FollowedPath {
  /** No leading slash. */
  readonly path: string;
  /** `undefined`: nothing exists there. */
  readonly entry: StackEntry | undefined;
}

/**
 * Reads stacked layers as overlayfs would show them, without mounting them. The kernel never follows a symbolic link:
 * links are resolved here, within the stack.
 *
 * Names are latin1 strings that hold the bytes of file names, since names need not be valid UTF-8.
 */
export class LayerStack {
  /** Topmost first. */
  readonly layers: readonly string[];

  constructor(layers: readonly string[]) {
    this.layers = layers.map(latin1);
  }

  /** The entry at a path (no leading slash, no `.` or `..`). Does not follow links. */
  async lstat(path: string): Promise<StackEntry | undefined> {
    const found = await this.#walk(path);
    return found?.entry;
  }

  /** The names in a directory without those that upper layers delete. Empty if the path is not a directory. */
  async names(path: string): Promise<ReadonlySet<string>> {
    const found = await this.#walk(path);
    const names = new Set<string>();
    const deleted = new Set<string>();
    for (const directory of found?.directories ?? []) {
      for (const name of await readdir(onDisk(directory), { encoding: "latin1" })) {
        if (names.has(name) || deleted.has(name)) continue;
        const stats = await lstat(onDisk(join(directory, name)));
        (isWhiteout(stats) ? deleted : names).add(name);
      }
    }
    return names;
  }

  /**
   * The entry at a path after following links within the stack. `undefined` if nothing exists or there are too many
   * links.
   */
  async resolve(path: string): Promise<StackEntry | undefined> {
    return (await this.follow(path))?.entry;
  }

  /** Follows links within the stack, whether or not the target exists. `undefined` if there are too many links. */
  async follow(path: string): Promise<FollowedPath | undefined> {
    let links = 0;
    let resolved: string[] = [];
    const ahead = path.split("/");
    let entry = await this.lstat("");
    for (let part = ahead.shift(); part !== undefined; part = ahead.shift()) {
      if (part === "" || part === ".") continue;
      if (part === "..") {
        resolved = resolved.slice(0, -1);
        entry = await this.lstat(resolved.join("/"));
        continue;
      }
      const next = await this.lstat([...resolved, part].join("/"));
      if (next === undefined || !next.stats.isSymbolicLink()) {
        resolved.push(part);
        entry = next;
        continue;
      }
      links += 1;
      if (links > maxLinks) return undefined;
      const target = await readlink(onDisk(next.path), { encoding: "latin1" });
      if (target.startsWith("/")) resolved = [];
      ahead.unshift(...target.split("/"));
      entry = await this.lstat(resolved.join("/"));
    }
    return { path: resolved.join("/"), entry };
  }

  /** Reads the start of a regular file and follows links within the stack. `undefined` if it is not a regular file. */
  async readFile(path: string, maxBytes: number): Promise<Buffer | undefined> {
    const entry = await this.resolve(path);
    if (!entry?.stats.isFile()) return undefined;
    await using file = await open(onDisk(entry.path));
    const buffer = Buffer.alloc(Math.min(maxBytes, entry.stats.size));
    const { bytesRead } = await file.read(buffer, 0, buffer.length, 0);
    return buffer.subarray(0, bytesRead);
  }

  /** Descends one component at a time and keeps the directories that are merged at each level. */
  async #walk(path: string): Promise<{ entry: StackEntry; directories: readonly string[] } | undefined> {
    let directories: readonly string[] = this.layers;
    const top = directories[0];
    if (top === undefined) return undefined;
    let entry: StackEntry = { stats: await lstat(onDisk(top)), path: top };
    for (const part of path.split("/").filter((name) => name !== "")) {
      const below: string[] = [];
      let found: StackEntry | undefined;
      for (const directory of directories) {
        const candidate = join(directory, part);
        const stats = await lstatIfThere(candidate);
        if (stats === undefined) continue;
        if (isWhiteout(stats)) break;
        if (stats.isDirectory()) {
          found ??= { stats, path: candidate };
          below.push(candidate);
          continue;
        }
        if (below.length === 0) found = { stats, path: candidate };
        break;
      }
      if (found === undefined) return undefined;
      entry = found;
      directories = below;
    }
    return { entry, directories };
  }
}

/** Converts a trusted path to a latin1 string of its bytes. */
export function latin1(path: string): string {
  return Buffer.from(path).toString("latin1");
}

/** Converts a latin1 string of bytes to the path for the kernel. */
export function onDisk(path: string): Buffer {
  return Buffer.from(path, "latin1");
}

/** overlayfs marks a deleted name with a character device 0/0. */
function isWhiteout(stats: Stats): boolean {
  return stats.isCharacterDevice() && stats.rdev === 0;
}

async function lstatIfThere(path: string): Promise<Stats | undefined> {
  try {
    return await lstat(onDisk(path));
  } catch (error) {
    const code = errorCode(error);
    if (code === "ENOENT" || code === "ENOTDIR") return undefined;
    throw error;
  }
}
