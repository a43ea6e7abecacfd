import { contentBytes } from "./inode.ts";
import { blockBytes } from "./layout.ts";

interface Extent {
  /** Number of the first block within the file. */
  readonly logical: number;
  /** Number of the first block on the disk. */
  readonly physical: number;
  length: number;
}

const magic = 0xf30a;
const entryBytes = 12;
const maximumLength = 32_768;
const inInode = contentBytes / entryBytes - 1;
const inBlock = Math.floor((blockBytes - entryBytes) / entryBytes);

/** Where the blocks of a file are. Blocks that are never added are holes. */
export class Extents {
  readonly #extents: Extent[] = [];
  /** Number of blocks that were added. */
  blocks = 0;

  /** Adds a block behind those that were added before. */
  add(logical: number, physical: number): void {
    this.blocks += 1;
    const last = this.#extents.at(-1);
    const continues =
      last !== undefined &&
      last.logical + last.length === logical &&
      last.physical + last.length === physical &&
      last.length < maximumLength;
    if (continues) last.length += 1;
    else this.#extents.push({ logical, physical, length: 1 });
  }

  /**
   * Encodes the extent tree. Returns the root, which is in the inode.
   * @param putBlock Writes a block of the tree and returns its number.
   * https://docs.kernel.org/filesystems/ext4/ifork.html
   */
  async encode(putBlock: (content: Buffer) => Promise<number>): Promise<{ root: Buffer; treeBlocks: number }> {
    let depth = 0;
    let treeBlocks = 0;
    let entries = this.#extents.map(encodeExtent);
    while (entries.length > inInode) {
      const above: Buffer[] = [];
      for (let start = 0; start < entries.length; start += inBlock) {
        const part = entries.slice(start, start + inBlock);
        const number = await putBlock(encodeNode(part, depth, inBlock, blockBytes));
        treeBlocks += 1;
        above.push(encodeIndex(part[0]?.readUInt32LE(0) ?? 0, number));
      }
      entries = above;
      depth += 1;
    }
    return { root: encodeNode(entries, depth, inInode, contentBytes), treeBlocks };
  }
}

function encodeNode(entries: readonly Buffer[], depth: number, maximum: number, bytes: number): Buffer {
  const node = Buffer.alloc(bytes);
  node.writeUInt16LE(magic, 0);
  node.writeUInt16LE(entries.length, 2);
  node.writeUInt16LE(maximum, 4);
  node.writeUInt16LE(depth, 6);
  for (const [index, entry] of entries.entries()) entry.copy(node, (index + 1) * entryBytes);
  return node;
}

function encodeExtent({ logical, physical, length }: Extent): Buffer {
  const entry = Buffer.alloc(entryBytes);
  entry.writeUInt32LE(logical, 0);
  entry.writeUInt16LE(length, 4);
  entry.writeUInt32LE(physical, 8);
  return entry;
}

function encodeIndex(logical: number, block: number): Buffer {
  const entry = Buffer.alloc(entryBytes);
  entry.writeUInt32LE(logical, 0);
  entry.writeUInt32LE(block, 4);
  return entry;
}
