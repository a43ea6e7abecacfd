import { EventSourceParserStream } from "eventsource-parser/stream";
import type { z } from "zod";
import { ApiRequestError, request } from "./http.ts";
import { pause, yieldToPage } from "./pause.ts";

export type Connection = "connecting" | "live" | "reconnecting";

export interface EventStreamOptions<T> {
  readonly path: string;
  readonly schema: z.ZodType<T>;
  readonly signal: AbortSignal;
  /** `finished` ends the stream; `restart` opens it again from the start. */
  readonly onEvent: (event: T) => "continue" | "finished" | "restart";
  readonly onConnection: (connection: Connection) => void;
  /** The id at which an earlier stream of the same path stopped. */
  readonly lastEventId?: string;
}

const firstWaitMs = 500;
const longestWaitMs = 10_000;
/** Stall timeout. The instance sends at least a comment every 10 s, so a longer silence is a dead connection. */
const silenceMs = 30_000;

/**
 * Follows server-sent events and reconnects, with increasing pauses, until `onEvent` returns `finished` or the signal
 * is aborted. Resolves with the last event id seen.
 *
 * Built on fetch instead of EventSource for three reasons. It distinguishes an expired session (401) from a network
 * failure. It resumes where it stopped after a pause. It applies backpressure: it reads only as fast as the page can
 * show.
 * @throws {ApiRequestError} for a response that retries won't change (4xx except 429).
 */
export async function followEvents<T>(options: EventStreamOptions<T>): Promise<string | undefined> {
  const { signal, onConnection } = options;
  let { lastEventId } = options;
  let waitMs = firstWaitMs;
  let restarts = 0;
  onConnection("connecting");
  while (!signal.aborted) {
    try {
      const response = await request(options.path, {
        signal,
        headers: {
          accept: "text/event-stream",
          ...(lastEventId === undefined ? {} : { "last-event-id": lastEventId }),
        },
      });
      onConnection("live");
      for await (const message of readMessages(response)) {
        if (message.id !== undefined) lastEventId = message.id;
        waitMs = firstWaitMs;
        const next = options.onEvent(options.schema.parse(JSON.parse(message.data)));
        if (next === "finished") return lastEventId;
        if (next === "restart") {
          lastEventId = undefined;
          // If the gap persists, the page must not fetch everything in a tight loop.
          waitMs = Math.min(firstWaitMs * 2 ** restarts, longestWaitMs);
          restarts += 1;
          break;
        }
        signal.throwIfAborted();
      }
    } catch (error) {
      if (signal.aborted) break;
      // Retries help if the network is lost or the instance restarts, but not if the request is refused.
      if (error instanceof ApiRequestError && error.status < 500 && error.status !== 429) throw error;
      if (!(error instanceof ApiRequestError || error instanceof TypeError || error instanceof DOMException))
        throw error;
    }
    onConnection("reconnecting");
    await pause(waitMs * (0.75 + Math.random() / 2), signal);
    waitMs = Math.min(waitMs * 2, longestWaitMs);
  }
  return lastEventId;
}

async function* readMessages(response: Response) {
  if (response.body === null) return;
  let silence: ReturnType<typeof setTimeout> | undefined;
  const watch = new TransformStream<Uint8Array<ArrayBuffer>, Uint8Array<ArrayBuffer>>({
    transform(bytes, controller) {
      clearTimeout(silence);
      silence = setTimeout(() => controller.error(new DOMException("the stream stopped", "TimeoutError")), silenceMs);
      controller.enqueue(bytes);
    },
  });
  const reader = response.body
    .pipeThrough(watch)
    .pipeThrough(new TextDecoderStream())
    .pipeThrough(new EventSourceParserStream())
    .getReader();
  let yieldAt = performance.now() + sliceMs;
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield value;
      // If a log arrives faster than the page can show it, the page must still paint and react to input.
      if (performance.now() > yieldAt) {
        await yieldToPage();
        yieldAt = performance.now() + sliceMs;
      }
    }
  } finally {
    clearTimeout(silence);
    await reader.cancel().catch(ignoreBroken);
  }
}

const sliceMs = 12;

/** Canceling a broken stream rejects with the same error again. */
function ignoreBroken(): void {}
