import { EventSourceParserStream } from "eventsource-parser/stream";
import type { z } from "zod";
import { ApiRequestError, request } from "./http.ts";
import { pause, yieldToPage } from "./pause.ts";

export type Connection = "connecting" | "live" | "reconnecting";

export interface EventStreamOptions<T> {
  readonly path: string;
  readonly schema: z.ZodType<T>;
  readonly signal: AbortSignal;
  /** `finished` ends the stream for good; `restart` opens it anew from its begin. */
  readonly onEvent: (event: T) => "continue" | "finished" | "restart";
  readonly onConnection: (connection: Connection) => void;
  /** Where an earlier stream of the same path stopped. */
  readonly lastEventId?: string;
}

const firstWaitMs = 500;
const longestWaitMs = 10_000;
/** The instance sends at least a comment every 10 s: a longer silence is a dead connection that nobody has closed. */
const silenceMs = 30_000;

/**
 * Follows server-sent events and reconnects, with growing pauses, until the stream says that it is finished. Resolves
 * then, or when the signal aborts, with the last event id that was seen.
 *
 * Built on fetch in place of EventSource: it tells a lapsed session (401) from a lost network, resumes where it stopped
 * after a pause, and reads no faster than the page can show.
 * @throws {ApiRequestError} for an answer that no further try will change (4xx).
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
          // A gap that stays must not make the page fetch everything again and again.
          waitMs = Math.min(firstWaitMs * 2 ** restarts, longestWaitMs);
          restarts += 1;
          break;
        }
        signal.throwIfAborted();
      }
    } catch (error) {
      if (signal.aborted) break;
      // Trying again helps against a lost network or a restarting instance, not against being refused.
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
      silence = setTimeout(
        () => controller.error(new DOMException("the stream fell silent", "TimeoutError")),
        silenceMs,
      );
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
      // A log that arrives faster than it can be shown must leave the page time to paint and to answer its user.
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

/** Canceling a stream that broke reports the same break again. */
function ignoreBroken(): void {}
