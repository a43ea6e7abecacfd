/** A file or directory of the archive. */
export interface CpioEntry {
  /** Relative, without a leading `/`. */
  readonly path: string;
  /** Permission bits. */
  readonly mode: number;
  /** `null`: a directory. */
  readonly content: Buffer | null;
}

const fileBit = 0o100000;
const directoryBit = 0o040000;
const trailer = "TRAILER!!!";
const largestFile = 0xffffffff;

/**
 * Writes an archive in the kernel's initrd format (newc). All entries belong to root and have the time 0, so the same
 * entries make the same bytes, in any order.
 */
export function cpioArchive(entries: readonly CpioEntry[]): Buffer {
  const sorted = entries.toSorted((a, b) => Buffer.compare(Buffer.from(a.path), Buffer.from(b.path)));
  const records = sorted.map(({ path, mode, content }, index) => {
    const type = content ? fileBit : directoryBit;
    return record({ path, content: content ?? Buffer.alloc(0), mode: type | mode, inode: index + 1 });
  });
  return Buffer.concat([...records, record({ path: trailer, content: Buffer.alloc(0), mode: 0, inode: 0 })]);
}

interface Record {
  readonly path: string;
  readonly content: Buffer;
  readonly mode: number;
  readonly inode: number;
}

function record({ path, content, mode, inode }: Record): Buffer {
  if (content.length > largestFile) throw new RangeError(`${path} is too large for an initrd`);
  const name = Buffer.from(`${path}\0`);
  const links = 1;
  const fields = [inode, mode, 0, 0, links, 0, content.length, 0, 0, 0, 0];
  const numbers = [...fields, name.length, 0].map((number) => number.toString(16).padStart(8, "0"));
  return Buffer.concat([padded(Buffer.from(`070701${numbers.join("")}`), name), padded(content)]);
}

/** The format aligns header with name, and content, to 4 bytes each. */
function padded(...parts: readonly Buffer[]): Buffer {
  const bytes = Buffer.concat(parts);
  return Buffer.concat([bytes, Buffer.alloc(-bytes.length & 3)]);
}
