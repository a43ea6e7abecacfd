import {
  chmodSync,
  closeSync,
  constants,
  fchmodSync,
  fchownSync,
  futimesSync,
  lchownSync,
  linkSync,
  lstatSync,
  lutimesSync,
  mkdirSync,
  openSync,
  readdirSync,
  type Stats,
  symlinkSync,
  write,
  writeSync,
} from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { errorCode } from "../../host/error-code.ts";
import { hostId, type IdRange } from "../../host/id-range.ts";
import { LayerError } from "./layer-error.ts";
import { latin1, onDisk } from "./layer-stack.ts";

const writeAsync = promisify(write);

export interface EntryMetadata {
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Seconds. */
  readonly mtime: number;
}

export interface LayerTreeOptions {
  readonly root: string;
  /** Only root can; everyone else gets files of his own that he can read. */
  readonly keepOwners: boolean;
  /** Host ids that the layer's owners stand for; `null`: the same. */
  readonly idRange: IdRange | null;
  /** Attributes of a directory that the layers below have, for those that this layer leaves out. */
  readonly directoryBelow: (path: string) => Promise<Stats | undefined>;
}

/**
 * One directory that a layer is unpacked into. Every parent of what it writes is a real directory in it: looked at
 * component by component, never through a symbolic link. Nobody else can reach the directory, so what was looked at stays so.
 *
 * Calls that the kernel answers from memory are made synchronously: hundreds of thousands of small files would spend most of
 * their time on the way to the thread pool and back.
 */
export class LayerTree {
  readonly #root: string;
  readonly #options: LayerTreeOptions;
  /** What this layer put where; anything else in the directory was there before. */
  readonly #added = new Map<string, "directory" | "other">();
  /** Known to be real directories. */
  readonly #directories = new Set<string>([""]);
  readonly #directoryMetadata = new Map<string, EntryMetadata>();
  #replacedDirectories = 0;

  constructor(options: LayerTreeOptions) {
    this.#root = latin1(options.root);
    this.#options = options;
  }

  has(path: string): boolean {
    return this.#added.has(path);
  }

  isAddedDirectory(path: string): boolean {
    return this.#added.get(path) === "directory";
  }

  /** Empty when the path is no directory, or leads through a link. */
  names(path: string): readonly string[] {
    return this.#isDirectory(path) ? readdirSync(this.#onDisk(path), { encoding: "latin1" }) : [];
  }

  async addDirectory(path: string, metadata: EntryMetadata): Promise<void> {
    if (path !== "") {
      await this.#makeParents(path);
      await this.#makeDirectory(path);
      this.#added.set(path, "directory");
    }
    this.#directoryMetadata.set(path, metadata);
  }

  async addFile(
    path: string,
    size: number,
    metadata: EntryMetadata,
    content: AsyncIterable<Uint8Array>,
  ): Promise<void> {
    await this.#makeRoom(path);
    const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
    const file = openSync(this.#onDisk(path), flags, 0o600);
    try {
      for await (const chunk of content) {
        for (let done = 0; done < chunk.byteLength; ) {
          // Writing much may wait for the disk, so that is not done on this thread.
          if (size <= 64 * 1024) done += writeSync(file, chunk, done);
          else done += (await writeAsync(file, chunk, done, chunk.byteLength - done, null)).bytesWritten;
        }
      }
      if (this.#options.keepOwners) fchownSync(file, this.#hostId(metadata.uid), this.#hostId(metadata.gid));
      fchmodSync(file, this.#options.keepOwners ? metadata.mode : metadata.mode | 0o600);
      futimesSync(file, metadata.mtime, metadata.mtime);
    } finally {
      closeSync(file);
    }
    this.#added.set(path, "other");
  }

  async addSymlink(path: string, target: string, metadata: EntryMetadata): Promise<void> {
    await this.#makeRoom(path);
    symlinkSync(onDisk(target), this.#onDisk(path));
    if (this.#options.keepOwners)
      lchownSync(this.#onDisk(path), this.#hostId(metadata.uid), this.#hostId(metadata.gid));
    lutimesSync(this.#onDisk(path), metadata.mtime, metadata.mtime);
    this.#added.set(path, "other");
  }

  /** Only to what this layer itself brought, so that no link reaches out of it. */
  async addHardLink(path: string, target: string): Promise<void> {
    if (this.#added.get(target) !== "other")
      throw new LayerError(`hard link ${show(path)} to ${show(target)}, which the layer has not`);
    if (path === target) return;
    await this.#makeRoom(path);
    linkSync(this.#onDisk(target), this.#onDisk(path));
    this.#added.set(path, "other");
  }

  /** Links a file from elsewhere on this file system into the tree, in a place that is free. */
  async adopt(path: string, source: string): Promise<void> {
    await this.#makeParents(path);
    linkSync(source, this.#onDisk(path));
  }

  /** Nothing happens when the path leads through a link: what is behind it is another path. */
  async remove(path: string): Promise<void> {
    if (path === "" || !this.#isDirectory(path.split("/").slice(0, -1).join("/"))) return;
    await rm(this.#onDisk(path), { recursive: true, force: true });
  }

  /** Modes and times of directories, which writing into them would have changed. */
  finish(): void {
    for (const [path, metadata] of this.#directoryMetadata) {
      if (!this.#directories.has(path)) continue;
      const directory = this.#onDisk(path);
      if (this.#options.keepOwners) lchownSync(directory, this.#hostId(metadata.uid), this.#hostId(metadata.gid));
      chmodSync(directory, this.#options.keepOwners ? metadata.mode : metadata.mode | 0o700);
      lutimesSync(directory, metadata.mtime, metadata.mtime);
    }
  }

  /** Parents exist, and the place itself is free. */
  async #makeRoom(path: string): Promise<void> {
    if (path === "") throw new LayerError("the root is no directory");
    await this.#makeParents(path);
    const present = lstatIfThereSync(this.#onDisk(path));
    if (present === undefined) return;
    await this.remove(path);
    if (present.isDirectory()) this.#forget(path);
  }

  async #makeParents(path: string): Promise<void> {
    const parts = path.split("/").slice(0, -1);
    for (let depth = 1; depth <= parts.length; depth += 1) {
      const parent = parts.slice(0, depth).join("/");
      if (this.#directories.has(parent)) continue;
      if (this.#added.has(parent))
        throw new LayerError(`${show(path)} lies below ${show(parent)}, which is no directory`);
      const isNew = await this.#makeDirectory(parent);
      // What is in it is of this layer, so the layer has the directory too.
      this.#added.set(parent, "directory");
      if (!isNew) continue;
      const below = await this.#options.directoryBelow(parent);
      this.#directoryMetadata.set(parent, {
        mode: (below?.mode ?? 0o755) & 0o7777,
        uid: this.#ownId(below?.uid ?? 0),
        gid: this.#ownId(below?.gid ?? 0),
        mtime: (below?.mtimeMs ?? 0) / 1000,
      });
    }
  }

  async #makeDirectory(path: string): Promise<boolean> {
    const present = lstatIfThereSync(this.#onDisk(path));
    if (!present?.isDirectory()) {
      if (present) await this.remove(path);
      mkdirSync(this.#onDisk(path), 0o700);
    }
    this.#directories.add(path);
    return !present?.isDirectory();
  }

  /** Whether the path and all above it are directories, none of them a link. */
  #isDirectory(path: string): boolean {
    const parts = path === "" ? [] : path.split("/");
    return parts.every((_, index) => {
      const part = parts.slice(0, index + 1).join("/");
      return this.#directories.has(part) || lstatIfThereSync(this.#onDisk(part))?.isDirectory() === true;
    });
  }

  #forget(path: string): void {
    this.#replacedDirectories += 1;
    // Each costs a walk over all that is known; an honest layer has none.
    if (this.#replacedDirectories > 1000) throw new LayerError("it replaces its own directories too often");
    for (const known of [this.#added, this.#directories, this.#directoryMetadata]) {
      for (const key of known.keys()) if (key === path || key.startsWith(`${path}/`)) known.delete(key);
    }
  }

  #hostId(id: number): number {
    return hostId(this.#options.idRange, id);
  }

  /** The layer's id for one of the host's. */
  #ownId(id: number): number {
    return Math.max(0, id - (this.#options.idRange?.base ?? 0));
  }

  #onDisk(path: string): Buffer {
    return onDisk(join(this.#root, path));
  }
}

function lstatIfThereSync(path: Buffer): Stats | undefined {
  try {
    return lstatSync(path);
  } catch (error) {
    if (errorCode(error) === "ENOENT") return undefined;
    throw error;
  }
}

/** A hostile name, safe to show. */
export function show(path: string): string {
  return JSON.stringify(path.slice(0, 200));
}
