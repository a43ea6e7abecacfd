import { blockBytes } from "./layout.ts";

export interface DirectoryEntry {
  /** Latin1 string of the name's bytes, at most 255. */
  readonly name: string;
  readonly inode: number;
  readonly kind: "file" | "directory" | "link";
}

const kinds = { file: 1, directory: 2, link: 7 } as const;
const headerBytes = 8;

/**
 * Encodes a directory's content: entries one after the other, none across blocks. The kernel reads it at any size and
 * makes an index when a directory outgrows its first block.
 * https://docs.kernel.org/filesystems/ext4/directory.html
 */
export function directoryBlocks(self: number, parent: number, entries: readonly DirectoryEntry[]): Buffer[] {
  const all: readonly DirectoryEntry[] = [
    { name: ".", inode: self, kind: "directory" },
    { name: "..", inode: parent, kind: "directory" },
    ...entries,
  ];
  const blocks: Buffer[] = [];
  let block = Buffer.alloc(blockBytes);
  let used = 0;
  /** Start of the last entry, whose length covers the rest of the block. */
  let last = 0;
  const close = () => {
    block.writeUInt16LE(blockBytes - last, last + 4);
    blocks.push(block);
  };
  for (const { name, inode, kind } of all) {
    const bytes = Math.ceil((headerBytes + name.length) / 4) * 4;
    if (used + bytes > blockBytes) {
      close();
      block = Buffer.alloc(blockBytes);
      used = 0;
    }
    block.writeUInt32LE(inode, used);
    block.writeUInt16LE(bytes, used + 4);
    block.writeUInt8(name.length, used + 6);
    block.writeUInt8(kinds[kind], used + 7);
    block.write(name, used + headerBytes, "latin1");
    last = used;
    used += bytes;
  }
  close();
  return blocks;
}
