import { JobLiveEvent } from "@airlock/api";
import { pause } from "@airlock/async";
import { AirlockError } from "@airlock/job";
import { EventSourceParserStream } from "eventsource-parser/stream";
import type { InstanceClient } from "../instance/instance-client.ts";
import { RequestError, UnreachableError } from "../instance/request-error.ts";

export interface JobEventsOptions {
  readonly signal: AbortSignal;
  /** Called when the stream broke, and when it is back. */
  readonly onConnection: (state: "lost" | "back") => void;
  /** How long to keep reconnecting after the last event; default 2 min. */
  readonly giveUpAfterMs?: number;
  /**
   * Stall timeout: a connection is given up after this long without data. The instance sends comments far more often.
   * Default 60 s.
   */
  readonly silenceMs?: number;
}

const shortestWaitMs = 200;
const longestWaitMs = 5000;

/**
 * The events of one job up to and including `end`. Reconnects when the stream breaks, and resumes after the last event.
 * Chunks may be repeated then, see `ChunkCursor`.
 * @throws {RequestError} if the instance refuses (unknown job, wrong token).
 * @throws {UnreachableError} if the instance is unreachable for `giveUpAfterMs`.
 */
export async function* jobEvents(
  client: InstanceClient,
  id: number,
  options: JobEventsOptions,
): AsyncGenerator<JobLiveEvent> {
  const { signal, giveUpAfterMs = 120_000, silenceMs = 60_000 } = options;
  let lastEventId: string | undefined;
  let waitMs = shortestWaitMs;
  let answered = false;
  let aliveAt: number | undefined;
  let lost = false;
  for (;;) {
    let problem: Error | undefined;
    try {
      const opened = () => {
        answered = true;
      };
      for await (const message of messages(client, id, { lastEventId, silenceMs, signal, opened })) {
        if (lost) options.onConnection("back");
        lost = false;
        aliveAt = performance.now();
        waitMs = shortestWaitMs;
        if (message.id !== undefined) lastEventId = message.id;
        const event = parseEvent(message.data);
        if (event) yield event;
        if (event?.kind === "end") return;
      }
    } catch (error) {
      signal.throwIfAborted();
      // Until the instance has answered once, the address may be wrong, so fail immediately. Later failures may be a
      // restart.
      if (!isPassing(error) || (!answered && !wasCut(error))) throw error;
      problem = error;
    }
    aliveAt ??= performance.now();
    if (performance.now() - aliveAt > giveUpAfterMs) {
      throw problem ?? new UnreachableError("the instance keeps closing the event stream", { cause: undefined });
    }
    if (!lost) options.onConnection("lost");
    lost = true;
    if (!(await pause(waitMs, signal))) signal.throwIfAborted();
    waitMs = Math.min(waitMs * 2, longestWaitMs);
  }
}

function isPassing(error: unknown): error is Error {
  if (error instanceof UnreachableError) return true;
  return error instanceof RequestError && (error.status >= 500 || error.status === 429);
}

/** The connection was accepted and then cut, so the address is right. */
function wasCut(error: Error): boolean {
  return (
    error instanceof UnreachableError && ["ECONNRESET", "EPIPE", "UND_ERR_SOCKET"].includes(error.systemCode ?? "")
  );
}

async function* messages(
  client: InstanceClient,
  id: number,
  options: {
    readonly lastEventId: string | undefined;
    readonly silenceMs: number;
    readonly signal: AbortSignal;
    /** Called when the response's headers have arrived. */
    readonly opened: () => void;
  },
) {
  const { lastEventId, silenceMs, signal } = options;
  const connection = new AbortController();
  const silence = setTimeout(
    () => connection.abort(new Error(`the instance sent nothing for ${silenceMs / 1000} s`)),
    silenceMs,
  );
  try {
    const response = await client.request(`jobs/${id}/events`, {
      headers: { accept: "text/event-stream", ...(lastEventId === undefined ? {} : { "last-event-id": lastEventId }) },
      signal: AbortSignal.any([signal, connection.signal]),
    });
    options.opened();
    if (!response.body) return;
    const bytes = response.body.pipeThrough(
      new TransformStream<Uint8Array, Uint8Array>({
        transform(chunk, controller) {
          silence.refresh();
          controller.enqueue(chunk);
        },
      }),
    );
    yield* bytes.pipeThrough(new TextDecoderStream()).pipeThrough(new EventSourceParserStream());
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof AirlockError) throw error;
    // A stream that breaks rejects with any error of the socket.
    throw new UnreachableError(`the connection to ${client.connection.url.origin} was lost`, {
      cause: error,
    });
  } finally {
    clearTimeout(silence);
    connection.abort();
  }
}

/** Returns `undefined` for events of a kind that this version does not know. */
function parseEvent(data: string): JobLiveEvent | undefined {
  const parsed = JobLiveEvent.safeParse(JSON.parse(data));
  return parsed.success ? parsed.data : undefined;
}
