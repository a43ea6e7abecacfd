import type { LogBatchRequest, LogEvent } from "@airlock/api";

/** An event of a log on its way out: output is bytes until it is written into a request. */
export type OutgoingLogEvent =
  | Exclude<LogEvent, { kind: "chunk" }>
  | (Omit<Extract<LogEvent, { kind: "chunk" }>, "data"> & { readonly bytes: Buffer });

/** A multiple of 3, so that the pieces' base64 is that of the whole; small, so that the texts die young. */
const pieceBytes = 24 * 1024;

/**
 * A batch as JSON in bytes. base64 needs no escaping, so it is put between its quotes as it is, piece by piece: while a
 * step floods its log, `JSON.stringify` of the whole and its way to bytes took half of the executor's time, and garbage
 * of large texts a third of the rest.
 *
 * @param allocate gives at least that many bytes.
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

/** JSON of ASCII characters only: as many bytes as characters. */
function ascii(value: object): string {
  return JSON.stringify(value).replace(
    /[\u0080-\uffff]/g,
    (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}
