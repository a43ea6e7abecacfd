import { ExecutorEvent } from "@airlock/api";
import { createParser, type EventSourceMessage } from "eventsource-parser";

/** An event is a few hundred bytes: a stream with more before an event's end is not one of events. */
const maximumEventBytes = 1_000_000;

/** The events of a server-sent event stream. Comments, other fields and events of other kinds are skipped. */
export async function* executorEvents(stream: AsyncIterable<Buffer>): AsyncGenerator<ExecutorEvent> {
  const decoder = new TextDecoder();
  const messages: EventSourceMessage[] = [];
  const parser = createParser({
    onEvent: (message) => void messages.push(message),
    onError: (error) => {
      if (error.type === "max-buffer-size-exceeded") throw new Error("the event stream carries no events");
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
