import { ExecutorEvent } from "@airlock/api";

/** The events of a server-sent event stream. Comments, other fields and events that are not ours are skipped. */
export async function* executorEvents(stream: AsyncIterable<Buffer>): AsyncGenerator<ExecutorEvent> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const bytes of stream) {
    const blocks = (rest + decoder.decode(bytes, { stream: true })).replaceAll("\r\n", "\n").split("\n\n");
    rest = blocks.pop() ?? "";
    // An event is a few hundred bytes: something else talks here, and must not fill memory.
    if (rest.length > 1_000_000) throw new Error("the event stream carries no events");
    for (const block of blocks) {
      const event = parseEvent(block);
      if (event) yield event;
    }
  }
}

function parseEvent(block: string): ExecutorEvent | undefined {
  const data = block.split("\n").flatMap((line) => (line.startsWith("data:") ? [line.slice(5).trimStart()] : []));
  if (data.length === 0) return undefined;
  try {
    const parsed = ExecutorEvent.safeParse(JSON.parse(data.join("\n")));
    return parsed.success ? parsed.data : undefined;
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}
