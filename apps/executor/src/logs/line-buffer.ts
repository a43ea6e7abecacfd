import { formatBytes } from "@airlock/job";
import type { OutputStream } from "./log-sink.ts";
import { looksLikeOwnLine, ownLine } from "./own-voice.ts";

/** Maximum size of one entry with its line prefixes. Each update sends the whole entry in one request. */
const maximumEntryBytes = 48 * 1024 * 1024;
const newline = 10;

/**
 * Buffers output in the protocol's format, in which every line begins with the name of its stream. Lines share one
 * growing buffer, so millions of short lines need no more memory than their bytes.
 */
export class LineBuffer {
  readonly #maximumBytes: number;
  readonly #finished = new GrowingBuffer();
  readonly #open: Record<OutputStream, GrowingBuffer> = { stdout: new GrowingBuffer(), stderr: new GrowingBuffer() };
  #droppedBytes = 0;
  #ended = false;

  constructor(maximumBytes = maximumEntryBytes) {
    this.#maximumBytes = maximumBytes;
  }

  append(stream: OutputStream, bytes: Buffer): void {
    let start = 0;
    for (let end = bytes.indexOf(newline); end >= 0; end = bytes.indexOf(newline, start)) {
      this.#finishLine(stream, bytes.subarray(start, end + 1));
      start = end + 1;
    }
    const rest = bytes.subarray(start);
    const open = this.#open[stream];
    const room = Math.max(0, this.#maximumBytes - this.#finished.length - open.length);
    open.push(rest.subarray(0, room));
    this.#droppedBytes += Math.max(0, rest.length - room);
  }

  /** Adds lines of the executor itself. They are kept even where output is dropped. */
  note(text: string): void {
    for (const line of ownLine(text).split(/(?<=\n)/)) this.#finished.push(Buffer.from(`stderr: ${line}`));
  }

  #finishLine(stream: OutputStream, rest: Buffer): void {
    const open = this.#open[stream];
    const line = open.length === 0 ? rest : Buffer.concat([open.bytes(), rest]);
    const prefix = looksLikeOwnLine(line) ? disownedPrefixes[stream] : prefixes[stream];
    const lineBytes = prefix.length + line.length;
    // After the first dropped line, all further ones are dropped, so that the kept text has no gaps.
    if (this.#droppedBytes > 0 || this.#finished.length + lineBytes > this.#maximumBytes) {
      this.#droppedBytes += line.length;
    } else {
      this.#finished.push(prefix);
      this.#finished.push(line);
    }
    open.clear();
  }

  /** Ends the lines that were never completed. */
  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    for (const stream of ["stdout", "stderr"] as const) {
      if (this.#open[stream].length > 0) this.#finishLine(stream, Buffer.from("\n"));
    }
    if (this.#droppedBytes > 0) {
      this.note(
        `${formatBytes(this.#droppedBytes)} of output dropped: an entry of this instance is limited to ${formatBytes(this.#maximumBytes)}`,
      );
    }
  }

  text(): string {
    return this.#finished.bytes().toString("utf8");
  }

  forget(): void {
    this.#finished.clear();
  }
}

const prefixes = { stdout: Buffer.from("stdout: "), stderr: Buffer.from("stderr: ") };
/** Prefixes for lines of a step that imitate the executor's lines. */
const disownedPrefixes = { stdout: Buffer.from("stdout: | "), stderr: Buffer.from("stderr: | ") };

class GrowingBuffer {
  #buffer: Buffer = Buffer.alloc(0);
  length = 0;

  push(bytes: Buffer): void {
    const needed = this.length + bytes.length;
    if (needed > this.#buffer.length) {
      const larger = Buffer.allocUnsafeSlow(Math.max(256, needed, this.#buffer.length * 2));
      this.bytes().copy(larger);
      this.#buffer = larger;
    }
    bytes.copy(this.#buffer, this.length);
    this.length = needed;
  }

  bytes(): Buffer {
    return this.#buffer.subarray(0, this.length);
  }

  clear(): void {
    this.length = 0;
    // A line of several megabytes must not keep its memory for the short lines after it.
    if (this.#buffer.length > 65_536) this.#buffer = Buffer.alloc(0);
  }
}
