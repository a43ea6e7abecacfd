import { type FileHandle, open, rm } from "node:fs/promises";
import type { LogEvent } from "@airlock/api";
import { maxChunkBytes } from "@airlock/api";
import type { OutputStream } from "./log-sink.ts";

/** Kept in memory for each job before a step has to wait, or the disk has to help. */
const maximumMemoryBytes = 4 * 1024 * 1024;

type Marker = Exclude<LogEvent, { kind: "chunk" }>;
type Chunk = { kind: "chunk"; entryId: number; stream: OutputStream; length: number; place: Memory | Spilled };
type Memory = { readonly kind: "memory"; readonly parts: Buffer[] };
type Spilled = { readonly kind: "spilled"; readonly position: number; readonly written: Promise<boolean> };

/** What is taken from the spool at once. Chunks carry no offsets yet. */
export type SpooledEvent =
  | Marker
  | { readonly kind: "chunk"; readonly entryId: number; readonly stream: OutputStream; readonly bytes: Buffer };

/**
 * Log events on their way to the instance, in order. While the instance takes them, memory is all there is and a fast
 * step waits for room; while it does not answer, further output goes to a file, so that the job goes on. The file is
 * bounded by the job's log limit, which everything has passed before it comes here.
 */
export class LogSpool implements AsyncDisposable {
  readonly #spillFile: string;
  readonly #queue: (Marker | Chunk)[] = [];
  #memoryBytes = 0;
  #spilling = false;
  #spillEnd = 0;
  #file: Promise<FileHandle> | undefined;
  #waiting: (() => void)[] = [];
  /** Bytes that could not be kept: the disk is full as well. */
  lostBytes = 0;

  constructor(spillFile: string) {
    this.#spillFile = spillFile;
  }

  get isEmpty(): boolean {
    return this.#queue.length === 0;
  }

  get memoryBytes(): number {
    return this.#memoryBytes;
  }

  mark(event: Marker): void {
    this.#queue.push(event);
  }

  /** Takes the bytes at once, so that the order is that of the calls; a returned promise resolves when there is room. */
  append(entryId: number, stream: OutputStream, bytes: Buffer): void | Promise<void> {
    if (bytes.length === 0) return;
    if (this.#memoryBytes >= maximumMemoryBytes && this.#spilling) return this.#spill(entryId, stream, bytes);
    for (let start = 0; start < bytes.length; start += maxChunkBytes) {
      this.#keep(entryId, stream, bytes.subarray(start, start + maxChunkBytes));
    }
    if (this.#memoryBytes >= maximumMemoryBytes && !this.#spilling) {
      return new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }

  #keep(entryId: number, stream: OutputStream, bytes: Buffer): void {
    this.#memoryBytes += bytes.length;
    const last = this.#queue.at(-1);
    const joins = last?.kind === "chunk" && last.entryId === entryId && last.stream === stream;
    if (joins && last.place.kind === "memory" && last.length + bytes.length <= maxChunkBytes) {
      last.place.parts.push(bytes);
      last.length += bytes.length;
      return;
    }
    this.#queue.push({
      kind: "chunk",
      entryId,
      stream,
      length: bytes.length,
      place: { kind: "memory", parts: [bytes] },
    });
  }

  async #spill(entryId: number, stream: OutputStream, bytes: Buffer): Promise<void> {
    const writes: Promise<boolean>[] = [];
    for (let start = 0; start < bytes.length; start += maxChunkBytes) {
      const part = bytes.subarray(start, start + maxChunkBytes);
      const position = this.#spillEnd;
      this.#spillEnd += part.length;
      const written = this.#writeSpill(part, position);
      writes.push(written);
      this.#queue.push({
        kind: "chunk",
        entryId,
        stream,
        length: part.length,
        place: { kind: "spilled", position, written },
      });
    }
    await Promise.all(writes);
  }

  async #writeSpill(bytes: Buffer, position: number): Promise<boolean> {
    try {
      this.#file ??= this.#openSpill();
      await (await this.#file).write(bytes, 0, bytes.length, position);
      return true;
    } catch {
      // A full disk costs output, which is counted and told; it must not end the job.
      this.lostBytes += bytes.length;
      return false;
    }
  }

  async #openSpill(): Promise<FileHandle> {
    const file = await open(this.#spillFile, "wx+", 0o600);
    // Without a name it goes with the process, however that ends.
    await rm(this.#spillFile);
    return file;
  }

  /** Whether output may go to disk when memory is full. Whoever waits for room goes on when it may. */
  set spilling(value: boolean) {
    this.#spilling = value;
    if (value) this.#wake();
  }

  /** The oldest events, at most `maximumEvents` and about `maximumBytes` of output. */
  async take(maximumEvents: number, maximumBytes: number): Promise<SpooledEvent[]> {
    const taken: SpooledEvent[] = [];
    let bytes = 0;
    let released = 0;
    while (taken.length < maximumEvents && bytes < maximumBytes) {
      const next = this.#queue.shift();
      if (next === undefined) break;
      if (next.kind !== "chunk") {
        taken.push(next);
        continue;
      }
      bytes += next.length;
      if (next.place.kind === "memory") released += next.length;
      const data = await this.#read(next);
      if (data) taken.push({ kind: "chunk", entryId: next.entryId, stream: next.stream, bytes: data });
    }
    this.#memoryBytes -= released;
    if (this.#memoryBytes < maximumMemoryBytes) this.#wake();
    return taken;
  }

  async #read({ place, length }: Chunk): Promise<Buffer | undefined> {
    if (place.kind === "memory") return place.parts.length === 1 ? place.parts[0] : Buffer.concat(place.parts);
    if (!(await place.written) || !this.#file) return undefined;
    const bytes = Buffer.alloc(length);
    const { bytesRead } = await (await this.#file).read(bytes, 0, length, place.position);
    return bytes.subarray(0, bytesRead);
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
