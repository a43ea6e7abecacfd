import { type FileHandle, mkdir, open, rm } from "node:fs/promises";
import { dirname } from "node:path";
import type { LogEvent } from "@airlock/api";
import { maxChunkBytes } from "@airlock/api";
import { errorMessage, formatBytes } from "@airlock/job";
import type { OutputStream } from "./log-sink.ts";

/** Maximum memory for each job. Beyond it, the step waits or output goes to disk. */
const maximumMemoryBytes = 4 * 1024 * 1024;
/** A block holds runs of one stream. Each run follows a header: stream (1 byte) and length (4 bytes). */
const runHeaderBytes = 5;
const maximumBlockBytes = maxChunkBytes + runHeaderBytes;
const firstBlockBytes = 4096;
/**
 * Number of buffers to keep for reuse. Frequent allocation outside of the heap makes the garbage collector run
 * constantly.
 */
const maximumSpareBuffers = 8;

type Marker =
  | Extract<LogEvent, { kind: "open" | "close" }>
  | { readonly kind: "note"; readonly entryId: number; readonly text: string };

/** Output of one entry, in order. Stored as bytes instead of objects, because a hostile step writes single bytes. */
interface Block {
  readonly kind: "block";
  readonly entryId: number;
  buffer: Buffer;
  used: number;
  payloadBytes: number;
  /** Offset of the last run's header; -1: the block has no run yet. */
  lastRun: number;
  place: "memory" | { readonly position: number; readonly written: Promise<unknown> };
}

/** An event that was taken from the spool. Chunks and notes have no offsets yet. */
export type SpooledEvent =
  | Marker
  | { readonly kind: "chunk"; readonly entryId: number; readonly stream: OutputStream; readonly bytes: Buffer };

/**
 * Queue of log events on their way to the instance, in order. While the instance answers, the spool uses only memory,
 * and a fast step waits for room. While the instance does not answer, further output goes to a file, so that the job
 * continues. The job's log limit bounds the file, since all output was checked against it before. Output that the disk
 * rejects is lost, and the log has a message in its place.
 */
export class LogSpool implements AsyncDisposable {
  readonly #spillFile: string;
  readonly #queue: (Marker | Block)[] = [];
  /** Remaining events of the oldest block. */
  #rest: SpooledEvent[] = [];
  #memoryBytes = 0;
  #spilling = false;
  #spilledBlocks = 0;
  #spillEnd = 0;
  #file: Promise<FileHandle> | undefined;
  #waiting: (() => void)[] = [];
  #lostBytes = 0;
  readonly #spare: Buffer[] = [];
  /** Buffers whose bytes the last call of `take` returned. */
  #handedOut: Buffer[] = [];

  constructor(spillFile: string) {
    this.#spillFile = spillFile;
  }

  get isEmpty(): boolean {
    return this.#queue.length === 0 && this.#rest.length === 0;
  }

  get memoryBytes(): number {
    return this.#memoryBytes;
  }

  /** Number of bytes that the disk could not store. */
  get lostBytes(): number {
    return this.#lostBytes;
  }

  mark(event: Marker): void {
    this.#queue.push(event);
  }

  /**
   * Copies the bytes at once, so that output stays in the order of the calls. A returned promise resolves when there is
   * room.
   */
  append(entryId: number, stream: OutputStream, bytes: Buffer): void | Promise<void> {
    const writes: Promise<unknown>[] = [];
    for (let start = 0; start < bytes.length; ) {
      const block = this.#blockFor(entryId, stream);
      start += this.#put(block, stream, bytes, start);
      const isFull = block.used + runHeaderBytes >= maximumBlockBytes;
      if (isFull && this.#spilling && this.#memoryBytes > maximumMemoryBytes) writes.push(this.#spill(block));
    }
    if (writes.length > 0) return Promise.all(writes).then(() => {});
    if (this.#memoryBytes >= maximumMemoryBytes && !this.#spilling) {
      return new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }

  #blockFor(entryId: number, stream: OutputStream): Block {
    const last = this.#queue.at(-1);
    if (last?.kind === "block" && last.entryId === entryId && last.place === "memory") {
      const continues = last.buffer[last.lastRun] === streamCode(stream);
      if (last.used + (continues ? 0 : runHeaderBytes) < maximumBlockBytes) return last;
    }
    const buffer = Buffer.allocUnsafeSlow(firstBlockBytes);
    const block: Block = {
      kind: "block",
      entryId,
      buffer,
      used: 0,
      payloadBytes: 0,
      lastRun: -1,
      place: "memory",
    };
    this.#queue.push(block);
    return block;
  }

  /** Returns how many bytes were copied into the block. */
  #put(block: Block, stream: OutputStream, bytes: Buffer, start: number): number {
    const before = block.used;
    const continues = block.lastRun >= 0 && block.buffer[block.lastRun] === streamCode(stream);
    const head = continues ? 0 : runHeaderBytes;
    const count = Math.min(bytes.length - start, maximumBlockBytes - block.used - head);
    this.#reserve(block, block.used + head + count);
    if (!continues) {
      block.lastRun = block.used;
      block.buffer[block.used] = streamCode(stream);
      block.buffer.writeUInt32LE(0, block.used + 1);
      block.used += runHeaderBytes;
    }
    bytes.copy(block.buffer, block.used, start, start + count);
    block.used += count;
    block.payloadBytes += count;
    block.buffer.writeUInt32LE(block.buffer.readUInt32LE(block.lastRun + 1) + count, block.lastRun + 1);
    this.#memoryBytes += block.used - before;
    return count;
  }

  #reserve(block: Block, bytes: number): void {
    if (bytes <= block.buffer.length) return;
    const size = Math.min(maximumBlockBytes, Math.max(bytes, block.buffer.length * 4));
    const spare = size > maximumBlockBytes / 2 ? this.#spare.pop() : undefined;
    const larger = spare ?? Buffer.allocUnsafeSlow(size > maximumBlockBytes / 2 ? maximumBlockBytes : size);
    block.buffer.copy(larger, 0, 0, block.used);
    block.buffer = larger;
  }

  #recycle(buffers: readonly Buffer[]): void {
    for (const buffer of buffers) {
      if (buffer.length === maximumBlockBytes && this.#spare.length < maximumSpareBuffers) this.#spare.push(buffer);
    }
  }

  async #spill(block: Block): Promise<void> {
    const bytes = block.buffer.subarray(0, block.used);
    const position = this.#spillEnd;
    this.#spillEnd += bytes.length;
    this.#spilledBlocks += 1;
    const written = this.#write(bytes, position);
    // The reader of the block awaits `written` too. This handler only prevents an unhandled rejection.
    written.catch(() => {});
    block.place = { position, written };
    await written.catch(() => {});
    this.#recycle([block.buffer]);
    block.buffer = Buffer.alloc(0);
    this.#memoryBytes -= bytes.length;
  }

  async #write(bytes: Buffer, position: number): Promise<void> {
    this.#file ??= this.#openSpill();
    // If the file could not be opened, try again with the next block: there may be room by then.
    const file = await this.#file.catch((error: unknown) => {
      this.#file = undefined;
      throw error;
    });
    for (let done = 0; done < bytes.length; ) {
      const { bytesWritten } = await file.write(bytes, done, bytes.length - done, position + done);
      done += bytesWritten;
    }
  }

  async #openSpill(): Promise<FileHandle> {
    await mkdir(dirname(this.#spillFile), { recursive: true, mode: 0o700 });
    const file = await open(this.#spillFile, "wx+", 0o600);
    // An unlinked file disappears with the process, when its attempt has ended, too.
    await rm(this.#spillFile);
    return file;
  }

  /** Whether output may go to disk when memory is full. Writers that wait for room continue when it is set. */
  set spilling(value: boolean) {
    this.#spilling = value;
    if (value) this.#wake();
  }

  /**
   * Takes the oldest events: at most `maximumEvents`, and about `maximumBytes` of output. Their bytes are valid until
   * the next call.
   */
  async take(maximumEvents: number, maximumBytes: number): Promise<SpooledEvent[]> {
    const taken: SpooledEvent[] = [];
    let bytes = 0;
    // If the last block was taken only in part, its buffer is still needed.
    const used =
      this.#rest.length === 0 ? this.#handedOut.splice(0) : this.#handedOut.splice(0, this.#handedOut.length - 1);
    this.#recycle(used);
    while (taken.length < maximumEvents && bytes < maximumBytes) {
      if (this.#rest.length === 0) {
        const next = this.#queue.shift();
        if (next === undefined) break;
        this.#rest = next.kind === "block" ? await this.#open(next) : [next];
      }
      const events = this.#rest.splice(0, maximumEvents - taken.length);
      for (const event of events) bytes += event.kind === "chunk" ? event.bytes.length : 0;
      taken.push(...events);
    }
    if (this.#memoryBytes < maximumMemoryBytes) this.#wake();
    return taken;
  }

  async #open(block: Block): Promise<SpooledEvent[]> {
    if (block.place === "memory") {
      this.#memoryBytes -= block.used;
      this.#handedOut.push(block.buffer);
      return runsOf(block.entryId, block.buffer.subarray(0, block.used));
    }
    try {
      return runsOf(block.entryId, await this.#read(block, block.place));
    } catch (error) {
      this.#lostBytes += block.payloadBytes;
      const size = formatBytes(block.payloadBytes);
      const text = `${size} of output are missing here: the executor could not store them: ${errorMessage(error)}`;
      return [{ kind: "note", entryId: block.entryId, text }];
    } finally {
      this.#spilledBlocks -= 1;
      if (this.#spilledBlocks === 0) this.#spillEnd = 0;
    }
  }

  async #read(block: Block, place: Exclude<Block["place"], "memory">): Promise<Buffer> {
    await place.written;
    const file = await this.#file;
    if (!file) throw new Error("the spool is closed");
    const buffer = this.#spare.pop() ?? Buffer.allocUnsafeSlow(maximumBlockBytes);
    this.#handedOut.push(buffer);
    const bytes = buffer.subarray(0, block.used);
    for (let done = 0; done < bytes.length; ) {
      const { bytesRead } = await file.read(bytes, done, bytes.length - done, place.position + done);
      if (bytesRead === 0) throw new Error("the spool file was truncated");
      done += bytesRead;
    }
    return bytes;
  }

  #wake(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resolve of waiting) resolve();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#spilling = true;
    this.#wake();
    const file = this.#file;
    this.#file = undefined;
    if (!file) return;
    await file.then((handle) => handle.close()).catch(() => {});
  }
}

function streamCode(stream: OutputStream): number {
  return stream === "stdout" ? 1 : 2;
}

function runsOf(entryId: number, block: Buffer): SpooledEvent[] {
  const events: SpooledEvent[] = [];
  for (let at = 0; at < block.length; ) {
    const stream = block[at] === 1 ? "stdout" : "stderr";
    const end = at + runHeaderBytes + block.readUInt32LE(at + 1);
    events.push({ kind: "chunk", entryId, stream, bytes: block.subarray(at + runHeaderBytes, end) });
    at = end;
  }
  return events;
}
