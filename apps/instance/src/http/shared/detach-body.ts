import type { IncomingMessage } from "node:http";
import { PassThrough } from "node:stream";
import type { FastifyRequest } from "fastify";
import { BodyError, bodyDecoder } from "./content-encoding.ts";

/** Stall timeout of a body. The reader may cause a stall as well as the sender. */
const idleTimeoutMs = 60_000;
/** Read and discard the rest of a body for this long. The client can then see the response and reuse the connection. */
const discardMs = 10_000;

/**
 * The request's body as a stream that is independent of its connection, without its `Content-Encoding`. A reader may
 * destroy it early; the rest is then discarded. If a body stayed unread, Node.js would never read the connection's next
 * request. Memory use doesn't depend on how far a compressed body expands: inflating waits for the reader.
 * @throws {BodyError} 415 for an unknown encoding. The stream fails with a 400 if the compressed data is damaged.
 */
export function detachBody({ raw }: FastifyRequest): PassThrough {
  const decoder = bodyDecoder(raw)?.();
  const body = new PassThrough();
  const cut = (why: string) => body.destroy(new Error(why));
  const idle = setTimeout(() => cut(`no data received for ${idleTimeoutMs} ms`), idleTimeoutMs);
  raw.on("data", () => idle.refresh());
  const cutIfLost = () => {
    if (!raw.readableEnded) cut("the client disconnected");
  };
  raw.once("close", cutIfLost);
  // The client may be gone already, since its credentials are checked before.
  if (raw.destroyed) cutIfLost();
  body.once("close", () => {
    clearTimeout(idle);
    discardBody(raw);
    decoder?.destroy();
  });
  // A reader attaches later. Until then, an unhandled error would end the process.
  body.on("error", () => {});
  if (decoder) {
    const encoding = raw.headers["content-encoding"];
    const refuse = (cause?: unknown) =>
      body.destroy(new BodyError(400, `the body is not valid ${encoding}, which its Content-Encoding names`, cause));
    let received = 0;
    raw.on("data", (chunk: Buffer) => {
      received += chunk.length;
    });
    decoder.on("error", refuse);
    // The decoders of Node.js end after the first stream or frame and drop what follows. The body would be cut.
    decoder.once("end", () => {
      if (!endsItself(encoding) && decoder.bytesWritten < received) refuse();
    });
    raw.pipe(decoder).pipe(body);
  } else {
    raw.pipe(body);
  }
  return body;
}

/** gzip may have several members. Its decoder reads them all, and refuses other data after the last one. */
function endsItself(encoding = ""): boolean {
  return /gzip$/i.test(encoding.trim());
}

/** Size of the decoded body, if the request's headers tell it; else `null`. */
export function announcedBytes({ headers }: Pick<FastifyRequest, "headers">): number | null {
  const { "content-length": length, "content-encoding": encoding = "identity" } = headers;
  return length === undefined || encoding !== "identity" ? null : Number(length);
}

/** Reads the rest of a body and discards it. Disconnects a client that takes longer than `discardMs`. */
export function discardBody(raw: IncomingMessage): void {
  if (raw.complete || raw.destroyed) return;
  raw.unpipe();
  raw.resume();
  const timer = setTimeout(() => raw.destroy(), discardMs);
  for (const event of ["end", "close"] as const) raw.once(event, () => clearTimeout(timer));
}
