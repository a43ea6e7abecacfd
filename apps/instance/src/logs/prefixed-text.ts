import type { LogStream } from "../store/schema.ts";

export interface StreamSegment {
  readonly stream: LogStream;
  readonly bytes: Buffer;
}

/**
 * A job decides how often its output changes streams. Beyond this all that follows counts as the stream that it came to,
 * always at the same place, so that a longer text still begins with the segments of a shorter one.
 */
const maxSegments = 10_000;

const newline = 0x0a;
const prefixes: readonly (readonly [LogStream, Buffer])[] = [
  ["stdout", Buffer.from("stdout: ")],
  ["stderr", Buffer.from("stderr: ")],
];
const prefixLength = 8;

/**
 * Reads the text of a whole-entry update: each line begins with `stdout: ` or `stderr: `. Neighbouring lines of one
 * stream become one segment; a line without prefix counts as stdout. Works on bytes, in one pass and in twice the memory
 * of the text: millions of lines are no more work than one long one.
 */
export function parsePrefixedText(text: string): StreamSegment[] {
  const source = Buffer.from(text);
  const contents = Buffer.allocUnsafe(source.length);
  const segments: { stream: LogStream; start: number; end: number }[] = [];
  let written = 0;
  for (let at = 0; at < source.length; ) {
    const prefix = prefixAt(source, at);
    if (prefix) at += prefixLength;
    const start = written;
    while (at < source.length) {
      const byte = source[at++] ?? 0;
      contents[written++] = byte;
      if (byte === newline) break;
    }
    if (written === start) continue;
    const last = segments.at(-1);
    const stream = prefix ?? "stdout";
    if (last && (last.stream === stream || segments.length >= maxSegments)) last.end = written;
    else segments.push({ stream, start, end: written });
  }
  return segments.map(({ stream, start, end }) => ({ stream, bytes: contents.subarray(start, end) }));
}

function prefixAt(source: Buffer, at: number): LogStream | null {
  for (const [stream, prefix] of prefixes) {
    let length = 0;
    while (length < prefixLength && source[at + length] === prefix[length]) length++;
    if (length === prefixLength) return stream;
  }
  return null;
}

/** What `next` has beyond `previous`, or `null` when it does not begin with it. Segment boundaries within a stream do not count. */
export function segmentsBeyond(
  previous: readonly StreamSegment[],
  next: readonly StreamSegment[],
): StreamSegment[] | null {
  let index = 0;
  let used = 0;
  for (const { stream, bytes } of previous) {
    for (let at = 0; at < bytes.length; ) {
      const head = next[index];
      if (head?.stream !== stream) return null;
      const length = Math.min(bytes.length - at, head.bytes.length - used);
      if (bytes.compare(head.bytes, used, used + length, at, at + length) !== 0) return null;
      at += length;
      used += length;
      if (used === head.bytes.length) {
        index += 1;
        used = 0;
      }
    }
  }
  return next.slice(index).map(({ stream, bytes }, position) => ({
    stream,
    bytes: position === 0 ? bytes.subarray(used) : bytes,
  }));
}
