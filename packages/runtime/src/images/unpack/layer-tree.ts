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
  /**
   * Whether to set the owners of files, which only root can. Otherwise files belong to this process and are made
   * readable.
   */
  readonly keepOwners: boolean;
  /** The host ids to which the layer's owners are mapped. `null`: the same ids. */
  readonly idRange: IdRange | null;
  /** Attributes that the layers below have for a directory that this layer does not contain itself. */
  readonly directoryBelow: (path: string) => Promise<Stats | undefined>;
}

/**
 * The directory that one layer is unpacked into. Every parent of a written file is checked component by component to be
 * a real directory and never a symbolic link. No other user can access the directory, so the checks stay true (no
 * TOCTOU).
 *
 * Cheap system calls are synchronous: with hundreds of thousands of small files, the round trips to the thread pool
 * would dominate.
 */
export class LayerTree {
  readonly #root: string;
  readonly #options: LayerTreeOptions;
  /** The paths that this layer added. Everything else in the directory existed before. */
  readonly #added = new Map<string, "directory" | "other">();
  /** Paths that are known to be real directories. */
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

  /** Names in a directory. Empty if the path is not a directory or leads through a link. */
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
          // Large writes may wait for the disk, so don't block this thread.
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

  /** Adds a hard link. The target must be a file of this layer, so that no link leads outside it. */
  async addHardLink(path: string, target: string): Promise<void> {
    if (this.#added.get(target) !== "other")
      throw new LayerError(`hard link ${show(path)} to ${show(target)}, which the layer does not have`);
    if (path === target) return;
    await this.#makeRoom(path);
    linkSync(this.#onDisk(target), this.#onDisk(path));
    this.#added.set(path, "other");
  }

  /** Hard-links a file from elsewhere on this file system to a free path in the tree. */
  async adopt(path: string, source: string): Promise<void> {
    await this.#makeParents(path);
    linkSync(source, this.#onDisk(path));
  }

  /** Removes a path. Does nothing if it leads through a link, because what is behind the link is another path. */
  async remove(path: string): Promise<void> {
    if (path === "" || !this.#isDirectory(path.split("/").slice(0, -1).join("/"))) return;
    await rm(this.#onDisk(path), { recursive: true, force: true });
  }

  /** Sets owners, modes and times of directories. Done last, because writing into a directory changes its times. */
  finish(): void {
    for (const [path, metadata] of this.#directoryMetadata) {
      if (!this.#directories.has(path)) continue;
      const directory = this.#onDisk(path);
      if (this.#options.keepOwners) lchownSync(directory, this.#hostId(metadata.uid), this.#hostId(metadata.gid));
      chmodSync(directory, this.#options.keepOwners ? metadata.mode : metadata.mode | 0o700);
      lutimesSync(directory, metadata.mtime, metadata.mtime);
    }
  }

  /** Creates the parents and removes what is at the path. */
  async #makeRoom(path: string): Promise<void> {
    if (path === "") throw new LayerError("the root is not a directory");
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
        throw new LayerError(`${show(path)} is below ${show(parent)}, which is not a directory`);
      const isNew = await this.#makeDirectory(parent);
      // The layer has a file in this directory, so the directory belongs to the layer too.
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

  /** Whether the path and all its parents are real directories and not links. */
  #isDirectory(path: string): boolean {
    const parts = path === "" ? [] : path.split("/");
    return parts.every((_, index) => {
      const part = parts.slice(0, index + 1).join("/");
      return this.#directories.has(part) || lstatIfThereSync(this.#onDisk(part))?.isDirectory() === true;
    });
  }

  #forget(path: string): void {
    this.#replacedDirectories += 1;
    // Each replacement walks over all known paths. Honest layers don't replace their own directories.
    if (this.#replacedDirectories > 1000) throw new LayerError("it replaces its own directories too often");
    for (const known of [this.#added, this.#directories, this.#directoryMetadata]) {
      for (const key of known.keys()) if (key === path || key.startsWith(`${path}/`)) known.delete(key);
    }
  }

  #hostId(id: number): number {
    return hostId(this.#options.idRange, id);
  }

  /** Maps a host id back to the layer's id. */
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

const longestShown = 300;

/** A path for messages. Its bytes are hostile: characters that act on terminals or on the direction of text are escaped. */
export function show(path: string): string {
  const text = Buffer.from(path, "latin1").toString();
  const printable = text.replace(
    /[\p{C}\p{Zl}\p{Zp}]/gu,
    (character) => `\\u{${character.codePointAt(0)?.toString(16)}}`,
  );
  return `"${printable.length > longestShown ? `${printable.slice(0, longestShown)}...` : printable}"`;
}
