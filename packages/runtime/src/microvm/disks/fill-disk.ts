import { type BigIntStats, closeSync, constants, fstatSync, openSync, read, readlinkSync, readSync } from "node:fs";
import { setImmediate as nextTurn } from "node:timers/promises";
import { promisify } from "node:util";
import type { Abortable } from "../../contract/index.ts";
import { onDisk } from "../../images/unpack/layer-stack.ts";
import { show } from "../../images/unpack/layer-tree.ts";
import { type DirectoryEntry, directoryBlocks } from "./ext4/directory-blocks.ts";
import { type Ext4Disk, rootInode } from "./ext4/ext4-disk.ts";
import { Extents } from "./ext4/extents.ts";
import { contentBytes, encodeInode } from "./ext4/inode.ts";
import { blockBytes } from "./ext4/layout.ts";
import { readMergedDirectory, shortened } from "./merged-directory.ts";

const readAsync = promisify(read);

/** Attributes of a directory. */
export interface DirectoryAttributes {
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly modifiedNs: bigint;
}

/** A directory to write: what is in its sources, and directories that they lack. */
export interface DiskDirectory {
  readonly attributes: DirectoryAttributes;
  /** Absolute paths as latin1 strings, topmost first. */
  readonly sources: readonly string[];
  /** By name. A directory of the sources with that name is merged into it and decides on its attributes. */
  readonly added: ReadonlyMap<string, DiskDirectory>;
}

export interface FillOptions extends Abortable {
  /** Owners of files on the disk. `null`: those of the sources. */
  readonly owner: { readonly uid: number; readonly gid: number } | null;
  /** Called with the number of bytes of files that were read since the last call. */
  readonly onBytes?: (bytes: number) => void;
}

interface KnownFile {
  readonly inode: number;
  links: number;
}

const chunkBytes = 2 ** 20;
/** Smaller files are read at once: switching to the thread pool and back would take longer. */
const smallBytes = 64 * 2 ** 10;
const zeros = Buffer.alloc(chunkBytes);
/** Largest number of names of a file. */
const maximumLinks = 65_000;
const entriesPerTurn = 256;

/**
 * Writes a tree to an empty disk. The names, links and contents of the tree are hostile: they are only copied as bytes,
 * and no link is followed. Devices, pipes and sockets are left out.
 * @throws {DiskFullError} when the disk is too small.
 */
export async function fillDisk(disk: Ext4Disk, root: DiskDirectory, options: FillOptions): Promise<void> {
  await new Filler(disk, options).writeDirectory(rootInode, rootInode, root);
}

class Filler {
  readonly #disk: Ext4Disk;
  readonly #options: FillOptions;
  readonly #buffer = Buffer.alloc(chunkBytes);
  /** Files with several names, by device and inode of the source. */
  readonly #known = new Map<string, KnownFile>();
  #entries = 0;

  constructor(disk: Ext4Disk, options: FillOptions) {
    this.#disk = disk;
    this.#options = options;
  }

  async writeDirectory(self: number, parent: number, { attributes, sources, added }: DiskDirectory): Promise<void> {
    using short = shortened(sources);
    const merged = await readMergedDirectory(short.paths, this.#options);
    const entries: DirectoryEntry[] = [];
    let directories = 0;
    const addDirectory = async (name: string, directory: DiskDirectory) => {
      const inode = await this.#disk.takeInode("directory");
      directories += 1;
      entries.push({ name, inode, kind: "directory" });
      await this.writeDirectory(inode, self, directory);
    };
    for (const { name, paths, stats } of merged) {
      await this.#nextEntry();
      if (stats.isDirectory()) {
        const below = added.get(name)?.added ?? new Map();
        await addDirectory(name, { attributes: this.#attributesOf(stats), sources: paths, added: below });
        continue;
      }
      const kind = stats.isFile() ? "file" : stats.isSymbolicLink() ? "link" : undefined;
      if (kind) entries.push({ name, kind, inode: await this.#writeOnce(kind, paths[0] ?? "", stats) });
    }
    const present = new Set(merged.map(({ name }) => name));
    for (const [name, directory] of added) if (!present.has(name)) await addDirectory(name, directory);

    const extents = new Extents();
    const blocks = directoryBlocks(self, parent, entries);
    for (const [index, block] of blocks.entries()) extents.add(index, await this.#disk.putBlock(block));
    await this.#setInode(self, extents, {
      ...attributes,
      mode: constants.S_IFDIR | attributes.mode,
      size: blocks.length * blockBytes,
      // With too many names to count, the kernel expects 1.
      links: directories + 2 >= maximumLinks ? 1 : directories + 2,
    });
  }

  async #writeOnce(kind: "file" | "link", path: string, stats: BigIntStats): Promise<number> {
    const key = stats.nlink > 1n ? `${stats.dev}:${stats.ino}` : undefined;
    const known = key === undefined ? undefined : this.#known.get(key);
    if (known && known.links < maximumLinks) {
      known.links += 1;
      await this.#disk.setLinks(known.inode, known.links);
      return known.inode;
    }
    const inode = await this.#disk.takeInode("other");
    await (kind === "file" ? this.#writeFile(inode, path, stats) : this.#writeLink(inode, path, stats));
    if (key !== undefined) this.#known.set(key, { inode, links: 1 });
    return inode;
  }

  async #writeLink(inode: number, path: string, stats: BigIntStats): Promise<void> {
    const target = readlinkSync(onDisk(path), { encoding: "buffer" });
    const fields = { ...this.#attributesOf(stats), mode: constants.S_IFLNK | 0o777, size: target.length, links: 1 };
    if (target.length < contentBytes) {
      const content = Buffer.alloc(contentBytes);
      target.copy(content);
      await this.#disk.setInode(inode, encodeInode({ ...fields, blocks: 0, content, hasExtents: false }));
      return;
    }
    const extents = new Extents();
    extents.add(0, await this.#disk.putBlock(target));
    await this.#setInode(inode, extents, fields);
  }

  async #writeFile(inode: number, path: string, stats: BigIntStats): Promise<void> {
    const size = Number(stats.size);
    const extents = new Extents();
    if (size > 0) {
      const file = openSync(onDisk(path), constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
      try {
        const opened = fstatSync(file, { bigint: true });
        if (opened.ino !== stats.ino || opened.dev !== stats.dev) throw changed(path);
        await this.#copy(file, path, size, extents);
      } finally {
        closeSync(file);
      }
    }
    const { mode, ...rest } = this.#attributesOf(stats);
    await this.#setInode(inode, extents, { ...rest, mode: constants.S_IFREG | mode, size, links: 1 });
  }

  async #copy(file: number, path: string, size: number, extents: Extents): Promise<void> {
    for (let position = 0; position < size; ) {
      this.#options.signal.throwIfAborted();
      const wanted = Math.min(chunkBytes, size - position);
      let filled = 0;
      while (filled < wanted) {
        const left = wanted - filled;
        const bytes =
          size <= smallBytes
            ? readSync(file, this.#buffer, filled, left, position + filled)
            : (await readAsync(file, this.#buffer, filled, left, position + filled)).bytesRead;
        if (bytes === 0) throw changed(path);
        filled += bytes;
      }
      // Zeros become holes, so that a sparse file stays one.
      const isHole = isZero(this.#buffer.subarray(0, filled));
      for (let start = 0; start < filled && !isHole; start += blockBytes) {
        const block = this.#buffer.subarray(start, Math.min(start + blockBytes, filled));
        if (!isZero(block)) extents.add((position + start) / blockBytes, await this.#disk.putBlock(block));
      }
      position += filled;
      this.#options.onBytes?.(filled);
    }
  }

  async #setInode(
    inode: number,
    extents: Extents,
    fields: DirectoryAttributes & { readonly size: number; readonly links: number },
  ): Promise<void> {
    const { root, treeBlocks } = await extents.encode((block) => this.#disk.putBlock(block));
    const blocks = extents.blocks + treeBlocks;
    await this.#disk.setInode(inode, encodeInode({ ...fields, blocks, content: root, hasExtents: true }));
  }

  #attributesOf(stats: BigIntStats): DirectoryAttributes {
    return attributesOf(stats, this.#options.owner);
  }

  /** Gives other tasks a turn once in a while, since most calls here are synchronous. */
  async #nextEntry(): Promise<void> {
    this.#options.signal.throwIfAborted();
    this.#entries += 1;
    if (this.#entries % entriesPerTurn === 0) await nextTurn();
  }
}

export function attributesOf(stats: BigIntStats, owner: FillOptions["owner"]): DirectoryAttributes {
  return {
    mode: Number(stats.mode) & 0o7777,
    uid: owner?.uid ?? Number(stats.uid),
    gid: owner?.gid ?? Number(stats.gid),
    modifiedNs: stats.mtimeNs,
  };
}

function isZero(bytes: Buffer): boolean {
  return bytes.equals(zeros.subarray(0, bytes.length));
}

function changed(path: string): Error {
  return new Error(`the file ${show(path)} changed while it was read`);
}
