import { type FileHandle, open } from "node:fs/promises";
import { runProgram } from "@airlock/process";
import type { Abortable } from "../../../contract/index.ts";
import { runtimeFailed } from "../../../contract/index.ts";
import { findOnSystemPath } from "../../../host/find-program.ts";
import { DiskFullError } from "./disk-full-error.ts";
import { inodeBytes, linksPosition } from "./inode.ts";
import {
  blockBytes,
  type Group,
  groupTableBytes,
  type Layout,
  parseGroups,
  parseSuperblock,
  superblockBytes,
  superblockPosition,
  writeFreeCounts,
  writeGroups,
} from "./layout.ts";

export const rootInode = 2;
const lostAndFoundInode = 11;
const inodesPerBlock = blockBytes / inodeBytes;
const pendingBytes = 2 ** 20;
const maximumCachedInodeBlocks = 2048;
const formatMs = 120_000;
/** Block numbers have 32 bits here. */
const maximumBytes = 2 ** 44;

/**
 * Without a journal, reserved blocks and checksums: the file system lives as long as a job, or never changes. All its
 * tables are at the start of the disk, so that the blocks behind them are free in one piece.
 */
const features =
  "none,ext_attr,filetype,extent,flex_bg,sparse_super2,large_file,huge_file,dir_nlink,extra_isize,dir_index";
// assume_storage_prezeroed: the sparse file's tables are zero already, and the guest's kernel need not zero them.
const options = "nodiscard,assume_storage_prezeroed=1,packed_meta_blocks=1,num_backup_sb=0,lazy_itable_init=0";

/**
 * An ext4 file system in a sparse file, to which inodes and blocks are added one after the other. mke2fs creates it
 * empty and never sees the content. Call {@link finish} at the end; before it, the file is not usable.
 */
export class Ext4Disk implements AsyncDisposable {
  readonly #file: FileHandle;
  readonly #superblock: Buffer;
  readonly #layout: Layout;
  readonly #groupTable: Buffer;
  readonly #groups: Group[];
  readonly #inodeBlocks = new Map<number, Buffer>();
  readonly #pending = Buffer.alloc(pendingBytes);
  #pendingStart = 0;
  #pendingLength = 0;
  #nextInode = 0;
  #nextBlock = 0;
  /** The bitmaps of the groups in which the next inode and the next block are. */
  #inodeBitmap: Bitmap | undefined;
  #blockBitmap: Bitmap | undefined;

  private constructor(file: FileHandle, superblock: Buffer, groupTable: Buffer) {
    this.#file = file;
    this.#superblock = superblock;
    this.#layout = parseSuperblock(superblock);
    this.#groupTable = groupTable;
    this.#groups = parseGroups(groupTable);
  }

  /** @throws {AirlockError} reason `runtime` when mke2fs is missing or fails. */
  static async create(
    path: string,
    { bytes, bytesPerInode, signal }: Abortable & { readonly bytes: number; readonly bytesPerInode: number },
  ): Promise<Ext4Disk> {
    if (bytes > maximumBytes) throw runtimeFailed("a disk cannot have more than 16 TiB");
    const file = await open(path, "wx+", 0o600);
    try {
      await file.truncate(bytes);
      await format(path, bytesPerInode, signal);
      const superblock = await readExactly(file, superblockBytes, superblockPosition);
      const table = await readExactly(file, groupTableBytes(parseSuperblock(superblock)), blockBytes);
      const disk = new Ext4Disk(file, superblock, table);
      await disk.#clear();
      return disk;
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file.close();
  }

  /** Size of the part that the file system uses. All tables are in it; behind it is a hole. */
  get usedBytes(): number {
    return this.#nextBlock * blockBytes;
  }

  /** @throws {DiskFullError} */
  async takeInode(kind: "directory" | "other"): Promise<number> {
    for (; ; this.#nextInode += 1) {
      if (this.#nextInode >= this.#layout.inodes) throw new DiskFullError("files");
      const index = Math.floor(this.#nextInode / this.#layout.inodesPerGroup);
      const group = this.#group(index);
      this.#inodeBitmap = await this.#enter(this.#inodeBitmap, index, group.inodeBitmap);
      if (!takeBit(this.#inodeBitmap.bits, this.#nextInode % this.#layout.inodesPerGroup)) continue;
      group.freeInodes -= 1;
      if (kind === "directory") group.directories += 1;
      this.#nextInode += 1;
      return this.#nextInode;
    }
  }

  /**
   * Writes at most one block of data to the next free block and returns its number.
   * @throws {DiskFullError}
   */
  async putBlock(data: Uint8Array): Promise<number> {
    const number = await this.#takeBlock();
    const position = number * blockBytes;
    if (position !== this.#pendingStart + this.#pendingLength || this.#pendingLength === pendingBytes) {
      await this.#flush();
      this.#pendingStart = position;
    }
    this.#pending.set(data, this.#pendingLength);
    this.#pending.fill(0, this.#pendingLength + data.length, this.#pendingLength + blockBytes);
    this.#pendingLength += blockBytes;
    return number;
  }

  async setInode(number: number, inode: Buffer): Promise<void> {
    const { block, position } = this.#placeOf(number);
    inode.copy(await this.#inodeBlock(block), position);
  }

  async setLinks(number: number, links: number): Promise<void> {
    const { block, position } = this.#placeOf(number);
    (await this.#inodeBlock(block)).writeUInt16LE(links, position + linksPosition);
  }

  /**
   * Writes everything that is still in memory to the file.
   * @param options.sync Whether the file must survive a crash of the machine.
   */
  async finish({ sync }: { readonly sync: boolean }): Promise<void> {
    await this.#flush();
    await this.#flushInodes();
    for (const bitmap of [this.#inodeBitmap, this.#blockBitmap]) if (bitmap) await this.#writeBitmap(bitmap);
    writeGroups(this.#groupTable, this.#groups);
    writeFreeCounts(this.#superblock, this.#groups);
    await this.#write(this.#groupTable, blockBytes);
    await this.#write(this.#superblock, superblockPosition);
    if (sync) await this.#file.datasync();
  }

  async #takeBlock(): Promise<number> {
    for (; ; this.#nextBlock += 1) {
      if (this.#nextBlock >= this.#layout.blocks) throw new DiskFullError("blocks");
      const index = Math.floor(this.#nextBlock / this.#layout.blocksPerGroup);
      const group = this.#group(index);
      if (group.freeBlocks === 0) {
        this.#nextBlock = (index + 1) * this.#layout.blocksPerGroup - 1;
        continue;
      }
      this.#blockBitmap = await this.#enter(this.#blockBitmap, index, group.blockBitmap);
      if (!takeBit(this.#blockBitmap.bits, this.#nextBlock % this.#layout.blocksPerGroup)) continue;
      group.freeBlocks -= 1;
      this.#nextBlock += 1;
      return this.#nextBlock - 1;
    }
  }

  /**
   * Removes what mke2fs puts into an empty file system: the root's block and `lost+found`. Nobody repairs this file
   * system, and jobs would see that directory.
   */
  async #clear(): Promise<void> {
    for (const number of [rootInode, lostAndFoundInode]) {
      const { block, position } = this.#placeOf(number);
      const inode = (await this.#inodeBlock(block)).subarray(position, position + inodeBytes);
      for (const each of blocksOf(inode)) {
        const index = Math.floor(each / this.#layout.blocksPerGroup);
        const group = this.#group(index);
        await this.#clearBit(group.blockBitmap, each % this.#layout.blocksPerGroup);
        group.freeBlocks += 1;
      }
      inode.fill(0);
    }
    const group = this.#group(0);
    await this.#clearBit(group.inodeBitmap, lostAndFoundInode - 1);
    group.freeInodes += 1;
    group.directories -= 1;
  }

  async #clearBit(block: number, bit: number): Promise<void> {
    const bits = await readExactly(this.#file, blockBytes, block * blockBytes);
    bits[bit >> 3] = (bits[bit >> 3] ?? 0) & ~(1 << (bit & 7));
    await this.#write(bits, block * blockBytes);
  }

  async #enter(current: Bitmap | undefined, group: number, block: number): Promise<Bitmap> {
    if (current?.group === group) return current;
    if (current) await this.#writeBitmap(current);
    return { group, block, bits: await readExactly(this.#file, blockBytes, block * blockBytes) };
  }

  #writeBitmap({ bits, block }: Bitmap): Promise<void> {
    return this.#write(bits, block * blockBytes);
  }

  #group(index: number): Group {
    const group = this.#groups[index];
    if (!group) throw new Error(`the file system has no group ${index}`);
    return group;
  }

  #placeOf(number: number): { readonly block: number; readonly position: number } {
    const index = number - 1;
    const { inodeTable } = this.#group(Math.floor(index / this.#layout.inodesPerGroup));
    const inGroup = index % this.#layout.inodesPerGroup;
    return {
      block: inodeTable + Math.floor(inGroup / inodesPerBlock),
      position: (inGroup % inodesPerBlock) * inodeBytes,
    };
  }

  async #inodeBlock(block: number): Promise<Buffer> {
    const cached = this.#inodeBlocks.get(block);
    if (cached) return cached;
    if (this.#inodeBlocks.size >= maximumCachedInodeBlocks) await this.#flushInodes();
    const read = await readExactly(this.#file, blockBytes, block * blockBytes);
    this.#inodeBlocks.set(block, read);
    return read;
  }

  async #flushInodes(): Promise<void> {
    const numbers = [...this.#inodeBlocks.keys()].sort((a, b) => a - b);
    for (let start = 0; start < numbers.length; ) {
      const first = numbers[start] ?? 0;
      let end = start + 1;
      while (end < numbers.length && numbers[end] === first + end - start) end += 1;
      const run = numbers.slice(start, end).flatMap((number) => this.#inodeBlocks.get(number) ?? []);
      await this.#write(Buffer.concat(run), first * blockBytes);
      start = end;
    }
    this.#inodeBlocks.clear();
  }

  async #flush(): Promise<void> {
    await this.#write(this.#pending.subarray(0, this.#pendingLength), this.#pendingStart);
    this.#pendingLength = 0;
  }

  async #write(data: Buffer, position: number): Promise<void> {
    for (let done = 0; done < data.length; ) {
      done += (await this.#file.write(data, done, data.length - done, position + done)).bytesWritten;
    }
  }
}

interface Bitmap {
  readonly group: number;
  readonly block: number;
  readonly bits: Buffer;
}

/** Sets a bit. Returns `false` if it is set already. */
function takeBit(bits: Buffer, bit: number): boolean {
  const byte = bits[bit >> 3] ?? 0xff;
  const mask = 1 << (bit & 7);
  if ((byte & mask) !== 0) return false;
  bits[bit >> 3] = byte | mask;
  return true;
}

/** The blocks of a directory that mke2fs made: its extents are all in the inode. */
function blocksOf(inode: Buffer): readonly number[] {
  const extents = inode.subarray(40, 100);
  return Array.from({ length: extents.readUInt16LE(2) }, (_, index) => (index + 1) * 12).flatMap((at) =>
    Array.from({ length: extents.readUInt16LE(at + 4) }, (_, block) => extents.readUInt32LE(at + 8) + block),
  );
}

async function format(path: string, bytesPerInode: number, signal: AbortSignal): Promise<void> {
  const program = await findOnSystemPath(["mke2fs"]);
  if (program === undefined) {
    const hint = "Install the package e2fsprogs, version 1.47 or newer.";
    throw runtimeFailed("cannot make a disk: mke2fs is not installed", undefined, hint);
  }
  const sizes = ["-b", String(blockBytes), "-I", String(inodeBytes), "-i", String(bytesPerInode), "-m0"];
  const command = [program, "-t", "ext4", "-q", "-F", ...sizes, "-O", features, "-E", options, path];
  const { exitCode, stderr } = await runProgram(command, { signal, timeoutMs: formatMs });
  if (exitCode === 0) return;
  const hint = "Check the free space of the state directory, and that e2fsprogs has version 1.47 or newer.";
  throw runtimeFailed(`cannot make a disk: mke2fs failed: ${stderr.trim().slice(-500)}`, undefined, hint);
}

async function readExactly(file: FileHandle, bytes: number, position: number): Promise<Buffer> {
  const buffer = Buffer.alloc(bytes);
  for (let done = 0; done < bytes; ) {
    const { bytesRead } = await file.read(buffer, done, bytes - done, position + done);
    if (bytesRead === 0) throw new Error("the disk's file is too short");
    done += bytesRead;
  }
  return buffer;
}
