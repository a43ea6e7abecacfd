import { type ExecutorEvent, ExecutorName } from "@airlock/api";
import { Wakeup } from "@airlock/async";
import type { FastifyInstance } from "fastify";
import { z } from "zod";
import { sendEventStream } from "../shared/event-stream.ts";
import type { InstanceContext } from "../shared/instance-context.ts";
import { accessOf } from "../shared/route-access.ts";
import { parseBody } from "./parse-body.ts";
import { knownQueueOf, requireQueues } from "./queue-scope.ts";

const EventsQuery = z.object({ executorName: ExecutorName });
const lookAgainMs = 5000;

/** Sends cancellations, and requests to drain and to resume, at once. Heartbeats send the same, later. */
export function executorEventRoutes(app: FastifyInstance, context: InstanceContext): void {
  app.get("/events", async (request, reply) => {
    const { executorName } = parseBody(EventsQuery, request.query);
    await requireQueues(context.db, request, [], executorName);
    const queue = knownQueueOf(request);
    const access = accessOf(request);
    const options = { stopping: context.stopping, stillAllowed: () => access.stillAllowed() };
    await sendEventStream(request, reply, options, async function* (signal) {
      for await (const event of executorNews(context, { executor: executorName, queue }, signal)) yield { data: event };
    });
  });
}

/** Yields each canceled attempt once, including those canceled before the stream began. */
async function* executorNews(
  context: InstanceContext,
  { executor, queue }: { readonly executor: string; readonly queue: string | null },
  signal: AbortSignal,
): AsyncGenerator<ExecutorEvent> {
  const news = new Wakeup();
  const unsubscribe = context.notifications.subscribe((notice) => {
    const isMeant = (notice.kind === "cancel" || notice.kind === "executor") && notice.executor === executor;
    if (isMeant) news.wake();
  });
  let told = new Set<string>();
  let toldDrain = false;
  try {
    while (!signal.aborted) {
      const rows = await context.db
        .selectFrom("jobs")
        .select(["id", "attempt"])
        .where("state", "=", "processing")
        .where("executor", "=", executor)
        .where("cancel_requested", "=", true)
        .$if(queue !== null, (query) => query.where("queue", "=", queue))
        .execute();
      for (const { id, attempt } of rows) {
        if (!told.has(`${id}.${attempt}`)) yield { kind: "cancel", jobId: id, attempt };
      }
      told = new Set(rows.map(({ id, attempt }) => `${id}.${attempt}`));
      const drained = await context.db
        .selectFrom("executors")
        .select("paused")
        .where("name", "=", executor)
        .where("drain_requested", "=", true)
        .executeTakeFirst();
      if (drained && !toldDrain) yield { kind: "drain", ...(drained.paused !== null && { stay: true }) };
      if (!drained && toldDrain) yield { kind: "resume" };
      toldDrain = drained !== undefined;
      await news.wait(lookAgainMs, signal);
    }
  } finally {
    unsubscribe();
  }
}
