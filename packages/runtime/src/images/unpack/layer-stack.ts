import type { Stats } from "node:fs";
import { lstat, open, readdir, readlink } from "node:fs/promises";
import { join } from "node:path";
import { errorCode } from "../../host/error-code.ts";

/** How many symbolic links a path may go through, as in the kernel. */
const maxLinks = 40;

export interface StackEntry {
  readonly stats: Stats;
  /** In the topmost layer that has it. */
  readonly path: string;
}

/** Where a path leads: no component of it is a link. */
export interface FollowedPath {
  /** No leading slash. */
  readonly path: string;
  /** `undefined`: nothing is there. */
  readonly entry: StackEntry | undefined;
}

/**
 * Looks into stacked layers as overlayfs would show them, without mounting them and without ever letting the kernel
 * follow a symbolic link: links are resolved here, inside the stack.
 *
 * Names are latin1 strings that hold the bytes of file names, since names need not be valid UTF-8.
 */
export class LayerStack {
  /** Topmost first. */
  readonly layers: readonly string[];

  constructor(layers: readonly string[]) {
    this.layers = layers.map(latin1);
  }

  /** What is at a path (no leading slash, no `.` or `..`), not following any link. */
  async lstat(path: string): Promise<StackEntry | undefined> {
    const found = await this.#walk(path);
    return found?.entry;
  }

  /** The names in a directory, less what upper layers delete. Empty when it is none. */
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

  /** What is at a path after following links within the stack; `undefined` when there is nothing or too many links. */
  async resolve(path: string): Promise<StackEntry | undefined> {
    return (await this.follow(path))?.entry;
  }

  /**
   * Where a path leads after following links within the stack, whether something is there or not; `undefined` when there
   * are too many links.
   */
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

  /** The start of a regular file, links followed within the stack; `undefined` when it is none. */
  async readFile(path: string, maxBytes: number): Promise<Buffer | undefined> {
    const entry = await this.resolve(path);
    if (!entry?.stats.isFile()) return undefined;
    await using file = await open(onDisk(entry.path));
    const buffer = Buffer.alloc(Math.min(maxBytes, entry.stats.size));
    const { bytesRead } = await file.read(buffer, 0, buffer.length, 0);
    return buffer.subarray(0, bytesRead);
  }

  /** Goes down one component at a time, keeping the directories that merge at each. */
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

/** A path of ours as a latin1 string of its bytes. */
export function latin1(path: string): string {
  return Buffer.from(path).toString("latin1");
}

/** A latin1 string of bytes as the path that the kernel gets. */
export function onDisk(path: string): Buffer {
  return Buffer.from(path, "latin1");
}

/** overlayfs deletes a name of the layers below by a character device 0/0. */
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
