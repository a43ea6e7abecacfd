import { blockBytes } from "./layout.ts";

export interface InodeFields {
  /** File type and permission bits, as in stat(2). */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  /** Number of names. */
  readonly links: number;
  /** Number of blocks, including those of the extent tree. */
  readonly blocks: number;
  readonly modifiedNs: bigint;
  /** The field `i_block`, at most 60 bytes: an extent tree, or the target of a short symbolic link. */
  readonly content: Buffer;
  readonly hasExtents: boolean;
}

export const inodeBytes = 256;
/** Position of the number of names in an inode. */
export const linksPosition = 26;
/** Size of the field `i_block`. */
export const contentBytes = 60;

const extentsFlag = 0x80000;
/** Size of the fields after the first 128 bytes. */
const extraBytes = 32;
const leastSeconds = -(2 ** 31);
/** The two additional bits of a time end in the year 2446. */
const mostSeconds = 0x37fffffff;

/** Encodes an inode. https://docs.kernel.org/filesystems/ext4/inodes.html */
export function encodeInode(fields: InodeFields): Buffer {
  const inode = Buffer.alloc(inodeBytes);
  inode.writeUInt16LE(fields.mode, 0);
  inode.writeUInt16LE(fields.uid & 0xffff, 2);
  inode.writeUInt32LE(fields.size % 2 ** 32, 4);
  inode.writeUInt16LE(fields.gid & 0xffff, 24);
  inode.writeUInt16LE(fields.links, linksPosition);
  const sectors = fields.blocks * (blockBytes / 512);
  inode.writeUInt32LE(sectors % 2 ** 32, 28);
  inode.writeUInt32LE(fields.hasExtents ? extentsFlag : 0, 32);
  fields.content.copy(inode, 40, 0, contentBytes);
  inode.writeUInt32LE(Math.floor(fields.size / 2 ** 32), 108);
  inode.writeUInt16LE(Math.floor(sectors / 2 ** 32), 116);
  inode.writeUInt16LE(fields.uid >>> 16, 120);
  inode.writeUInt16LE(fields.gid >>> 16, 122);
  inode.writeUInt16LE(extraBytes, 128);
  const { low, extra } = encodeTime(fields.modifiedNs);
  // Access, change, modification and creation.
  for (const [position, extraPosition] of [
    [8, 140],
    [12, 132],
    [16, 136],
    [144, 148],
  ] as const) {
    inode.writeInt32LE(low, position);
    inode.writeUInt32LE(extra, extraPosition);
  }
  return inode;
}

function encodeTime(ns: bigint): { readonly low: number; readonly extra: number } {
  const exact = ns >= 0n ? ns / billion : -((-ns + billion - 1n) / billion);
  const seconds = Math.min(Math.max(Number(exact), leastSeconds), mostSeconds);
  const nanoseconds = Number(ns - exact * billion);
  const low = seconds | 0;
  const epoch = Math.round((seconds - low) / 2 ** 32);
  return { low, extra: nanoseconds * 4 + epoch };
}

const billion = 1_000_000_000n;
