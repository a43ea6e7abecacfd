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
  /** Called every few seconds: whether the client may still read. Default: yes. */
  readonly stillAllowed?: () => Promise<boolean>;
}

/**
 * Sends server-sent events until the source ends, the client disconnects or the instance stops. Takes one event at a
 * time from the source, and none while the socket is full (backpressure). A slow reader therefore costs no memory.
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
  // Writing to a disconnected client fails; "close" reports the same.
  raw.on("error", () => {});
  raw.once("close", () => gone.abort(new Error("the client disconnected")));
  reply.hijack();
  raw.writeHead(200, {
    ...(reply.getHeaders() as OutgoingHttpHeaders),
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-store, no-transform",
    // Otherwise nginx would buffer the events.
    "x-accel-buffering": "no",
  });
  raw.write(": connected\n\n");
  // Send a comment regularly: proxies close silent connections, and a failing write reveals a dead client.
  const heartbeat = setInterval(() => {
    if (!raw.writableNeedDrain) raw.write(": heartbeat\n\n");
  }, heartbeatMs);
  const check = setInterval(async () => {
    const allowed = await stillAllowed?.().catch((error: unknown) => {
      request.log.warn({ err: error }, "event stream ended: its credentials could not be checked");
      return false;
    });
    if (allowed === false) gone.abort(new Error("the credentials are no longer valid"));
  }, checkAgainMs);
  try {
    for await (const event of source(signal)) {
      if (signal.aborted) break;
      const id = event.id ? `id: ${event.id}\n` : "";
      if (!raw.write(`${id}data: ${JSON.stringify(event.data)}\n\n`)) await drained(raw, signal);
    }
  } catch (error) {
    // The headers are sent, so the error can't be reported. The stream ends, and the client reconnects.
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
