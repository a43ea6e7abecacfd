import { once } from "node:events";
import type { OutgoingHttpHeaders } from "node:http";
import type { FastifyReply, FastifyRequest } from "fastify";

const heartbeatMs = 10_000;
const checkAgainMs = 3000;

export interface StreamedEvent {
  readonly id?: string | null;
  readonly data: unknown;
}

export interface EventStreamOptions {
  /** Ends the stream. */
  readonly stopping: AbortSignal;
  /** Asked every few seconds: whether who asks may still read. Default: yes. */
  readonly stillAllowed?: () => Promise<boolean>;
}

/**
 * Answers with server-sent events until the source ends, the client hangs up or the instance stops. One event is taken
 * from the source at a time, and none while the client's socket is full: a slow reader costs no memory.
 */
export async function sendEventStream(
  request: FastifyRequest,
  reply: FastifyReply,
  { stopping, stillAllowed }: EventStreamOptions,
  source: (signal: AbortSignal) => AsyncIterable<StreamedEvent>,
): Promise<void> {
  const gone = new AbortController();
  const signal = AbortSignal.any([gone.signal, stopping]);
  const { raw } = reply;
  // A write to a client that has just gone; "close" says so, too.
  raw.on("error", () => {});
  raw.once("close", () => gone.abort(new Error("the client hung up")));
  reply.hijack();
  raw.writeHead(200, {
    ...(reply.getHeaders() as OutgoingHttpHeaders),
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-store, no-transform",
    // nginx would hold events back.
    "x-accel-buffering": "no",
  });
  raw.write(": connected\n\n");
  // A comment now and then: proxies cut silent connections, and a dead client is noticed by the write.
  const heartbeat = setInterval(() => {
    if (!raw.writableNeedDrain) raw.write(": heartbeat\n\n");
  }, heartbeatMs);
  const check = setInterval(async () => {
    const allowed = await stillAllowed?.().catch((error: unknown) => {
      request.log.warn({ err: error }, "event stream ended: its credentials could not be checked");
      return false;
    });
    if (allowed === false) gone.abort(new Error("the credentials hold no longer"));
  }, checkAgainMs);
  try {
    for await (const event of source(signal)) {
      if (signal.aborted) break;
      const id = event.id ? `id: ${event.id}\n` : "";
      if (!raw.write(`${id}data: ${JSON.stringify(event.data)}\n\n`)) await drained(raw, signal);
    }
  } catch (error) {
    // The head is out: all that is left to say is that the stream ends here, and the client comes back.
    if (!signal.aborted) request.log.error({ err: error }, "event stream failed");
  } finally {
    clearInterval(heartbeat);
    clearInterval(check);
    raw.end();
  }
}

async function drained(raw: NodeJS.EventEmitter, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  await once(raw, "drain", { signal }).catch((error: unknown) => {
    if (!signal.aborted) throw error;
  });
}
