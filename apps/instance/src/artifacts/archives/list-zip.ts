import { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { type Entry, fromRandomAccessReaderPromise, getFileNameLowLevel, RandomAccessReader } from "yauzl";
import type { ArchiveEntries } from "./archive-entries.ts";

export type ReadRange = (offset: number, length: number) => Promise<Readable>;

const directoryFlag = 0x10;
const unixTypeMask = 0o170000;
const unixLink = 0o120000;

/** Lists a zip archive by the directory at its end. Nothing is unpacked. */
export async function listZip(readRange: ReadRange, totalBytes: number, entries: ArchiveEntries): Promise<void> {
  // Undecoded names, because the library refuses hostile ones. They are only shown.
  const options = { lazyEntries: true, autoClose: false, decodeStrings: false, validateEntrySizes: false } as const;
  const zip = await fromRandomAccessReaderPromise(new BlockReader(readRange, totalBytes), totalBytes, options);
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  zip.on("entry", (entry: Entry) => {
    entries.add(toEntry(entry));
    if (entries.isFull) resolve();
    else zip.readEntry();
  });
  zip.on("end", resolve);
  zip.on("error", reject);
  zip.readEntry();
  await promise;
}

function toEntry(entry: Entry) {
  const name = entry.fileName as unknown as Buffer;
  const path = getFileNameLowLevel(entry.generalPurposeBitFlag, name, entry.extraFields, false);
  const isDirectory = path.endsWith("/") || (entry.externalFileAttributes & directoryFlag) !== 0;
  const isLink = ((entry.externalFileAttributes >>> 16) & unixTypeMask) === unixLink;
  const kind = isDirectory ? "directory" : isLink ? "link" : "file";
  // The archive states the size. Nobody checks it.
  return {
    path,
    kind,
    bytes: kind === "file" ? Math.min(entry.uncompressedSize, Number.MAX_SAFE_INTEGER) : 0,
  } as const;
}

const blockBytes = 256 * 1024;

/** Reads whole blocks, because the library reads the directory in pieces of a few bytes. */
class BlockReader extends RandomAccessReader {
  readonly #readRange: ReadRange;
  readonly #totalBytes: number;
  #start = 0;
  #block = Buffer.alloc(0);

  constructor(readRange: ReadRange, totalBytes: number) {
    super();
    this.#readRange = readRange;
    this.#totalBytes = totalBytes;
  }

  override _readStreamForRange(start: number, end: number): Readable {
    return Readable.from(this.#bytes(start, end - start));
  }

  override read(
    target: Buffer,
    offset: number,
    length: number,
    position: number,
    done: (error: Error | null) => void,
  ): void {
    this.#cached(position, length).then(
      (bytes) => {
        bytes.copy(target, offset);
        done(bytes.length < length ? new Error("the archive is shorter than its directory says") : null);
      },
      (error: unknown) => done(error instanceof Error ? error : new Error(String(error))),
    );
  }

  override close(done: (error: Error | null) => void): void {
    done(null);
  }

  async #cached(position: number, length: number): Promise<Buffer> {
    if (position < this.#start || position + length > this.#start + this.#block.length) {
      const size = Math.min(Math.max(length, blockBytes), this.#totalBytes - position);
      if (size < length) return Buffer.alloc(0);
      this.#block = await buffer(await this.#readRange(position, size));
      this.#start = position;
    }
    return this.#block.subarray(position - this.#start, position - this.#start + length);
  }

  async *#bytes(start: number, length: number): AsyncGenerator<Buffer> {
    yield await buffer(await this.#readRange(start, length));
  }
}
