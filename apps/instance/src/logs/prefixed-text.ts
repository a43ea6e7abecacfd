import type { LogStream } from "../store/schema.ts";

export interface StreamSegment {
  readonly stream: LogStream;
  readonly bytes: Buffer;
}

/**
 * Reads the text of a whole-entry update: each line begins with `stdout: ` or `stderr: `. Neighbouring lines of one
 * stream become one segment; a line without prefix counts as stdout.
 */
export function parsePrefixedText(text: string): StreamSegment[] {
  const segments: { stream: LogStream; lines: string[] }[] = [];
  for (const line of text.split(/(?<=\n)/)) {
    const stream: LogStream = line.startsWith("stderr: ") ? "stderr" : "stdout";
    const content = line.startsWith(`${stream}: `) ? line.slice(stream.length + 2) : line;
    const last = segments.at(-1);
    if (last?.stream === stream) last.lines.push(content);
    else if (content) segments.push({ stream, lines: [content] });
  }
  return segments.map(({ stream, lines }) => ({ stream, bytes: Buffer.from(lines.join("")) }));
}

/** What `next` has beyond `previous`, or `null` when it does not begin with it. Segment boundaries within a stream do not count. */
export function segmentsBeyond(
  previous: readonly StreamSegment[],
  next: readonly StreamSegment[],
): StreamSegment[] | null {
  const rest = next.map((segment) => ({ ...segment }));
  for (const segment of previous) {
    let { bytes } = segment;
    while (bytes.length > 0) {
      const head = rest[0];
      if (!head || head.stream !== segment.stream) return null;
      const length = Math.min(bytes.length, head.bytes.length);
      if (!bytes.subarray(0, length).equals(head.bytes.subarray(0, length))) return null;
      bytes = bytes.subarray(length);
      head.bytes = head.bytes.subarray(length);
      if (head.bytes.length === 0) rest.shift();
    }
  }
  return rest;
}
