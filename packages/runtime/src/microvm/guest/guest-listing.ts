import { AirlockError, formatBytes } from "@airlock/job";
import type { TreeStats } from "../../contract/workspace.ts";
import { GuestViolation } from "./frames.ts";
import { PayloadReader } from "./payload-reader.ts";

export interface GuestEntry {
  readonly name: Buffer;
  readonly stats: TreeStats;
  readonly inode: bigint;
}

export interface ListingLimits {
  readonly entries: number;
  /** Of the entries as the guest sends them: 28 for each, and its name. */
  readonly bytes: number;
  /** The limits of which these are left. Errors name them. Default: these themselves. */
  readonly whole?: { readonly entries: number; readonly bytes: number };
}

const kinds = ["file", "directory", "link", "other"] as const;
/** Bytes of an entry before its name. The last of them is the name's length. */
const headerBytes = 28;
const firstBytes = 4096;

/**
 * The entries of a directory. A directory can have millions of them, so they stay encoded until they are needed, which
 * takes a tenth of the memory.
 */
export class GuestListing implements Iterable<GuestEntry> {
  readonly #limits: ListingLimits;
  readonly #offsets: number[] = [];
  #encoded = Buffer.alloc(0);
  #bytes = 0;

  constructor(limits: ListingLimits) {
    this.#limits = limits;
  }

  get length(): number {
    return this.#offsets.length;
  }

  /** Size of the encoded entries. */
  get bytes(): number {
    return this.#bytes;
  }

  /**
   * Adds entries that a hostile guest has sent.
   * @throws {AirlockError} code `too-many-files`
   */
  add(encoded: Buffer): void {
    const { entries, bytes, whole = this.#limits } = this.#limits;
    if (this.#bytes + encoded.length > bytes)
      throw tooMany(`the names of the files and directories to look at take more than ${formatBytes(whole.bytes)}`);
    for (const reader = new PayloadReader(encoded, "a listing"), start = this.#bytes; reader.hasMore; ) {
      this.#offsets.push(start + reader.position);
      parseEntry(reader);
    }
    if (this.length > entries) throw tooMany(`there are more than ${whole.entries} files and directories to look at`);
    this.#reserve(this.#bytes + encoded.length);
    encoded.copy(this.#encoded, this.#bytes);
    this.#bytes += encoded.length;
  }

  /** In byte order of the names. */
  *[Symbol.iterator](): Generator<GuestEntry> {
    const encoded = this.#encoded;
    const end = (offset: number) => offset + headerBytes + (encoded[offset + headerBytes - 1] ?? 0);
    const compare = (a: number, b: number) =>
      encoded.compare(encoded, b + headerBytes, end(b), a + headerBytes, end(a));
    for (const offset of this.#offsets.sort(compare)) {
      yield parseEntry(new PayloadReader(encoded.subarray(offset, end(offset)), "a listing"));
    }
  }

  #reserve(bytes: number): void {
    if (bytes <= this.#encoded.length) return;
    const larger = Buffer.alloc(Math.max(firstBytes, bytes, Math.min(2 * this.#encoded.length, this.#limits.bytes)));
    this.#encoded.copy(larger, 0, 0, this.#bytes);
    this.#encoded = larger;
  }
}

function tooMany(message: string): AirlockError {
  return new AirlockError(message, { code: "too-many-files" });
}

function parseEntry(reader: PayloadReader): GuestEntry {
  const kind = kinds[reader.uint8()];
  const mode = reader.uint16();
  const size = reader.uint53();
  const modifiedMs = reader.int53();
  const inode = reader.uint64();
  const name = Buffer.from(reader.bytes(reader.uint8()));
  const isName = name.length > 0 && !name.includes(0) && !name.includes(0x2f);
  if (kind === undefined || mode > 0o7777 || !isName || name.equals(Buffer.from(".")) || name.equals(Buffer.from("..")))
    throw new GuestViolation("an impossible entry of a directory");
  return { name, inode, stats: { kind, size, mode, modifiedMs } };
}
