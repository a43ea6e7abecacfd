import { constants, type Stats } from "node:fs";
import { type FileHandle, lstat, open, opendir, readlink } from "node:fs/promises";
import { AirlockError } from "@airlock/job";
import type { TreeEntry, TreeStats, WalkOptions } from "../contract/workspace.ts";

const directoryFlags = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW;
const fileFlags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK | constants.O_NOCTTY;
const readBytes = 256 * 1024;
const slash = Buffer.from("/");

/**
 * Walks everything below a directory that a job has written, in byte order of the names, a directory before its
 * content. Never leaves the directory. No multi-component path is ever resolved: each directory is opened through its
 * parent's descriptor. Node has no openat, so we open `/proc/self/fd/N/NAME` with `O_NOFOLLOW`. A symlink anywhere ends
 * the walk there instead of leading outside.
 *
 * No process of the job runs at this time, but the walk does not rely on it. An entry that is swapped between lstat and
 * open is refused, not followed (no TOCTOU).
 *
 * Hard links are treated as ordinary files. They can't expose a host file: a sandbox can only link files that it sees
 * on the workspace's file system, which are the workspace's own.
 * @throws {AirlockError} code `too-many-files`, `unreadable`.
 */
export async function* walkTree<State>(
  root: FileHandle,
  options: WalkOptions<State>,
): AsyncGenerator<TreeEntry<State>> {
  const budget = { entries: options.maximumEntries };
  yield* walkDirectory(root, Buffer.alloc(0), options.start, 0, budget, options);
}

/** {@link walkTree} below a path in a tree. Yields nothing if the path is not a directory or leads through a link. */
export async function* walkBeneath<State>(
  root: string,
  path: string,
  options: WalkOptions<State>,
): AsyncGenerator<TreeEntry<State>> {
  const directory = await openBeneath(root, path);
  if (!directory) return;
  try {
    yield* walkTree(directory, options);
  } finally {
    await directory.close();
  }
}

/** Opens a directory in a tree that a job has written, component by component. `null`: it does not exist. */
export async function openBeneath(root: string, path: string): Promise<FileHandle | null> {
  let directory = await open(root, directoryFlags);
  for (const name of path.split("/").filter((part) => part !== "" && part !== ".")) {
    const parent = directory;
    try {
      if (name === "..") return null;
      directory = await open(childOf(parent, Buffer.from(name)), directoryFlags);
    } catch (error) {
      if (isAbsent(error)) return null;
      throw error;
    } finally {
      await parent.close();
    }
  }
  return directory;
}

/**
 * Reads one regular file in a tree that a job has written. `null`: it does not exist, or the path leads through a link.
 * @throws {AirlockError} code `file-too-large`.
 */
export async function readFileBeneath(root: string, path: string, maximumBytes: number): Promise<Buffer | null> {
  const { parent, name } = split(path);
  const directory = await openBeneath(root, parent);
  if (!directory) return null;
  try {
    const file = await open(childOf(directory, name), fileFlags).catch((error: unknown) => {
      if (isAbsent(error)) return null;
      throw error;
    });
    if (!file) return null;
    try {
      const stats = await file.stat();
      if (!stats.isFile()) return null;
      if (stats.size > maximumBytes) {
        throw new AirlockError(`the file "${path}" is larger than ${maximumBytes} bytes`, { code: "file-too-large" });
      }
      const pieces: Buffer[] = [];
      for await (const bytes of readUpTo(file, stats.size)) pieces.push(bytes);
      return Buffer.concat(pieces);
    } finally {
      await file.close();
    }
  } finally {
    await directory.close();
  }
}

/**
 * Calls `use` with a safe path for the last component of `path`, in a tree that a job has written. `null`: its
 * directory does not exist.
 */
export async function withParentBeneath<T>(
  root: string,
  path: string,
  use: (place: Buffer) => Promise<T>,
): Promise<T | null> {
  const { parent, name } = split(path);
  const directory = await openBeneath(root, parent);
  if (!directory) return null;
  try {
    return await use(childOf(directory, name));
  } finally {
    await directory.close();
  }
}

function split(path: string): { readonly parent: string; readonly name: Buffer } {
  const parts = path.split("/").filter((part) => part !== "" && part !== ".");
  const name = parts.pop() ?? "";
  if (name === "" || name === ".." || path.includes("\0")) {
    throw new AirlockError(`"${path}" is not a path of a file inside the workspace`, { code: "sandbox-misused" });
  }
  return { parent: parts.join("/"), name: Buffer.from(name) };
}

async function* walkDirectory<State>(
  directory: FileHandle,
  prefix: Buffer,
  state: State,
  depth: number,
  budget: { entries: number },
  options: WalkOptions<State>,
): AsyncGenerator<TreeEntry<State>> {
  for (const name of await namesIn(directory, budget, options)) {
    options.signal.throwIfAborted();
    const place = childOf(directory, name);
    const stats = await lstat(place);
    const next = options.advance(state, name, stats.isDirectory());
    if (next === null) continue;
    const path = prefix.length === 0 ? name : Buffer.concat([prefix, slash, name]);
    yield {
      path,
      stats: treeStats(stats),
      state: next,
      contents: () => contentsOf(place, stats, path),
      readLink: () => readlink(place, { encoding: "buffer" }),
    };
    if (!stats.isDirectory() || depth >= options.maximumDepth) continue;
    const child = await openToRead(place, directoryFlags, path);
    try {
      yield* walkDirectory(child, path, next, depth + 1, budget, options);
    } finally {
      await child.close();
    }
  }
}

async function namesIn<State>(
  directory: FileHandle,
  budget: { entries: number },
  { maximumEntries, signal }: WalkOptions<State>,
): Promise<Buffer[]> {
  const names: Buffer[] = [];
  // Stream the listing: a directory with ten million files must be rejected before it is in memory.
  const listing = await opendir(Buffer.from(`/proc/self/fd/${directory.fd}`) as unknown as string, {
    encoding: "buffer" as BufferEncoding,
    bufferSize: 256,
  });
  for await (const entry of listing) {
    signal.throwIfAborted();
    budget.entries -= 1;
    if (budget.entries < 0) {
      throw new AirlockError(`there are more than ${maximumEntries} files and directories to look at`, {
        code: "too-many-files",
      });
    }
    names.push(entry.name as unknown as Buffer);
  }
  return names.sort(Buffer.compare);
}

async function* contentsOf(place: Buffer, seen: Stats, path: Buffer): AsyncGenerator<Buffer> {
  const file = await openToRead(place, fileFlags, path);
  try {
    const stats = await file.stat();
    if (!stats.isFile() || stats.ino !== seen.ino || stats.dev !== seen.dev) {
      throw new AirlockError("the file was replaced", { code: "not-a-file" });
    }
    yield* readUpTo(file, seen.size);
  } finally {
    await file.close();
  }
}

/** Without root, a file may belong to another user of the sandbox. */
async function openToRead(place: Buffer, flags: number, path: Buffer): Promise<FileHandle> {
  try {
    return await open(place, flags);
  } catch (error) {
    if (!["EACCES", "EPERM"].includes((error as NodeJS.ErrnoException).code ?? "")) throw error;
    const name = JSON.stringify(
      path
        .toString("latin1")
        .replace(/[^\x20-\x7e]/g, "?")
        .slice(0, 200),
    );
    throw new AirlockError(`${name} cannot be read: its permissions deny it to the executor`, { code: "unreadable" });
  }
}

async function* readUpTo(file: FileHandle, size: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < size; ) {
    const { bytesRead, buffer } = await file.read(Buffer.allocUnsafe(Math.min(readBytes, size - at)), 0, null, at);
    if (bytesRead === 0) return;
    at += bytesRead;
    yield buffer.subarray(0, bytesRead);
  }
}

function treeStats(stats: Stats): TreeStats {
  const kind = stats.isFile() ? "file" : stats.isDirectory() ? "directory" : stats.isSymbolicLink() ? "link" : "other";
  return { kind, size: stats.size, mode: stats.mode & 0o7777, modifiedMs: stats.mtimeMs };
}

function childOf(directory: FileHandle, name: Buffer): Buffer {
  return Buffer.concat([Buffer.from(`/proc/self/fd/${directory.fd}/`), name]);
}

function isAbsent(error: unknown): boolean {
  return ["ENOENT", "ENOTDIR", "ELOOP", "ENXIO"].includes((error as NodeJS.ErrnoException).code ?? "");
}
