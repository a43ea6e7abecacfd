import type { LogBatchRequest, LogEvent } from "@airlock/api";

/** An outgoing log event. Output stays bytes until it is written into a request. */
export type OutgoingLogEvent =
  | Exclude<LogEvent, { kind: "chunk" }>
  | (Omit<Extract<LogEvent, { kind: "chunk" }>, "data"> & { readonly bytes: Buffer });

/**
 * A multiple of 3, so that concatenated pieces are valid base64. Small, so that the strings are short-lived garbage.
 */
const pieceBytes = 24 * 1024;

/**
 * Encodes a batch as JSON in bytes. base64 needs no escaping, so it is written between its quotes piece by piece. While
 * a step flooded its log, `JSON.stringify` and the conversion to bytes took half of the executor's time. Garbage
 * collection of large strings took a third of the rest.
 *
 * @param allocate Returns a buffer of at least that many bytes.
 */
export function logBatchJson(
  head: Omit<LogBatchRequest, "events">,
  events: readonly OutgoingLogEvent[],
  allocate: (bytes: number) => Buffer = (bytes) => Buffer.allocUnsafeSlow(bytes),
): Buffer {
  const parts: (string | Buffer)[] = [`${ascii(head).slice(0, -1)},"events":[`];
  for (const [index, event] of events.entries()) {
    if (index > 0) parts.push(",");
    if (event.kind !== "chunk") {
      parts.push(ascii(event));
      continue;
    }
    const { bytes, ...rest } = event;
    parts.push(`${ascii(rest).slice(0, -1)},"data":"`, bytes, '"}');
  }
  parts.push("]}");
  const size = parts.reduce((sum, part) => sum + (typeof part === "string" ? part.length : base64Length(part)), 0);
  const json = allocate(size);
  let offset = 0;
  for (const part of parts) {
    if (typeof part === "string") {
      offset += json.write(part, offset, "latin1");
      continue;
    }
    for (let start = 0; start < part.length; start += pieceBytes) {
      const end = Math.min(part.length, start + pieceBytes);
      offset += json.write(part.toString("base64", start, end), offset, "latin1");
    }
  }
  return json.subarray(0, size);
}

function base64Length({ length }: Buffer): number {
  return Math.ceil(length / 3) * 4;
}

/** JSON with only ASCII characters, so that its length is also its size in bytes. */
function ascii(value: object): string {
  return JSON.stringify(value).replace(
    /[\u0080-\uffff]/g,
    (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}
