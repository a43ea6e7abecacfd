/** Size of a block in bytes. */
export const blockBytes = 4096;

/** The fields of a file system's superblock that don't change. */
export interface Layout {
  readonly inodes: number;
  readonly blocks: number;
  readonly blocksPerGroup: number;
  readonly inodesPerGroup: number;
}

/** One group of blocks and inodes. The counters change while files are written. */
export interface Group {
  readonly blockBitmap: number;
  readonly inodeBitmap: number;
  readonly inodeTable: number;
  freeBlocks: number;
  freeInodes: number;
  directories: number;
}

export const superblockPosition = 1024;
export const superblockBytes = 1024;
const groupBytes = 32;

/** https://docs.kernel.org/filesystems/ext4/super.html */
export function parseSuperblock(superblock: Buffer): Layout {
  if (superblock.readUInt16LE(56) !== 0xef53) throw new Error("mke2fs made no ext4 file system");
  return {
    inodes: superblock.readUInt32LE(0),
    blocks: superblock.readUInt32LE(4),
    blocksPerGroup: superblock.readUInt32LE(32),
    inodesPerGroup: superblock.readUInt32LE(40),
  };
}

export function writeFreeCounts(superblock: Buffer, groups: readonly Group[]): void {
  superblock.writeUInt32LE(sum(groups.map(({ freeBlocks }) => freeBlocks)), 12);
  superblock.writeUInt32LE(sum(groups.map(({ freeInodes }) => freeInodes)), 16);
}

/** Size in bytes of the table of groups, which begins with the second block. */
export function groupTableBytes({ blocks, blocksPerGroup }: Layout): number {
  return Math.ceil(blocks / blocksPerGroup) * groupBytes;
}

/** https://docs.kernel.org/filesystems/ext4/group_descr.html */
export function parseGroups(table: Buffer): Group[] {
  return Array.from({ length: table.length / groupBytes }, (_, index) => {
    const group = table.subarray(index * groupBytes, (index + 1) * groupBytes);
    return {
      blockBitmap: group.readUInt32LE(0),
      inodeBitmap: group.readUInt32LE(4),
      inodeTable: group.readUInt32LE(8),
      freeBlocks: group.readUInt16LE(12),
      freeInodes: group.readUInt16LE(14),
      directories: group.readUInt16LE(16),
    };
  });
}

export function writeGroups(table: Buffer, groups: readonly Group[]): void {
  for (const [index, { freeBlocks, freeInodes, directories }] of groups.entries()) {
    table.writeUInt16LE(freeBlocks, index * groupBytes + 12);
    table.writeUInt16LE(freeInodes, index * groupBytes + 14);
    table.writeUInt16LE(directories, index * groupBytes + 16);
  }
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, each) => total + each, 0);
}
