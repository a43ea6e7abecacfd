import { ExecutorEvent } from "@airlock/api";
import { createParser, type EventSourceMessage } from "eventsource-parser";

/** A real event is a few hundred bytes. A stream with a larger one is not an event stream. */
const maximumEventBytes = 1_000_000;

/** Yields the events of a server-sent event stream. Skips comments, other fields and other kinds of events. */
export async function* executorEvents(stream: AsyncIterable<Buffer>): AsyncGenerator<ExecutorEvent> {
  const decoder = new TextDecoder();
  const messages: EventSourceMessage[] = [];
  const parser = createParser({
    onEvent: (message) => void messages.push(message),
    onError: (error) => {
      if (error.type === "max-buffer-size-exceeded") throw new Error("the response is not an event stream");
    },
    maxBufferSize: maximumEventBytes,
  });
  for await (const bytes of stream) {
    parser.feed(decoder.decode(bytes, { stream: true }));
    for (const { data } of messages.splice(0)) {
      const event = parseEvent(data);
      if (event) yield event;
    }
  }
}

function parseEvent(data: string): ExecutorEvent | undefined {
  try {
    return ExecutorEvent.safeParse(JSON.parse(data)).data;
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}
