import type { IncomingMessage } from "node:http";
import { PassThrough } from "node:stream";
import type { FastifyRequest } from "fastify";

/** A body that brings nothing for this long is over. The reader may hold it up as well as the sender. */
const idleTimeoutMs = 60_000;
/** The rest of a body is read and dropped for this long, so that the answer is seen and the connection can be used again. */
const discardMs = 10_000;

/**
 * The request's body as a stream apart from its connection. A reader may destroy it early: the rest is dropped. A body
 * that stays unread would keep Node from ever reading the next request of the connection.
 */
export function detachBody({ raw }: FastifyRequest): PassThrough {
  const body = new PassThrough();
  const cut = (why: string) => body.destroy(new Error(why));
  const idle = setTimeout(() => cut(`nothing came for ${idleTimeoutMs} ms`), idleTimeoutMs);
  raw.on("data", () => idle.refresh());
  raw.once("close", () => {
    if (!raw.complete) cut("the client hung up");
  });
  body.once("close", () => {
    clearTimeout(idle);
    discardBody(raw);
  });
  // A reader attaches later; until then an error must not end the process.
  body.on("error", () => {});
  raw.pipe(body);
  return body;
}

/** Reads the rest of a body and drops it. A client that sends for longer is cut off. */
export function discardBody(raw: IncomingMessage): void {
  if (raw.complete || raw.destroyed) return;
  raw.unpipe();
  raw.resume();
  const timer = setTimeout(() => raw.destroy(), discardMs);
  for (const event of ["end", "close"] as const) raw.once(event, () => clearTimeout(timer));
}
