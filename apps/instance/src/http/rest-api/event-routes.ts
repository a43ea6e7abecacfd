import type { ExecutorView, ListLiveEvent } from "@airlock/api";
import { pause, Wakeup } from "@airlock/async";
import { z } from "zod";
import { listExecutors } from "../../executors/executor-registry.ts";
import { getJobSummaries } from "../../views/job-views.ts";
import { sendEventStream } from "../shared/event-stream.ts";
import type { InstanceContext } from "../shared/instance-context.ts";
import { accessOf, type RequestAccess } from "../shared/route-access.ts";
import { streamOptions } from "./stream-options.ts";
import { errorAnswers, type ZodScope } from "./zod-scope.ts";

/** Executors that disappear send no notice, so the list is compared at this interval. */
const compareExecutorsMs = 5000;
/** Changes within this time are sent together, so that a busy queue doesn't flood a browser. */
const gatherMs = 50;

export function eventRoutes(app: ZodScope, context: InstanceContext): void {
  app.get(
    "/events",
    {
      schema: {
        tags: ["events"],
        summary: "Changes of jobs and executors as server-sent events",
        response: { 200: { content: { "text/event-stream": { schema: z.string() } } }, ...errorAnswers },
      },
    },
    async (request, reply) => {
      await sendEventStream(request, reply, streamOptions(request, context), async function* (signal) {
        for await (const event of listEvents(context, accessOf(request), signal)) yield { data: event };
      });
    },
  );
}

/** Users who are not administrators get only the events of their jobs, and none of executors. */
async function* listEvents(
  context: InstanceContext,
  access: RequestAccess,
  signal: AbortSignal,
): AsyncGenerator<ListLiveEvent> {
  const { db, notifications } = context;
  const news = new Wakeup();
  const jobs = new Set<number>();
  const executors = new Set<string>();
  const unsubscribe = notifications.subscribe((notice) => {
    if (notice.kind === "job" || notice.kind === "cancel") jobs.add(notice.job);
    else if (notice.kind === "executor") executors.add(notice.executor);
    else return;
    news.wake();
  });
  const shown = new Map<string, string>();
  try {
    for (const executor of await listExecutors(db)) shown.set(executor.name, digestOf(executor));
    let comparedAt = Date.now();
    while (!signal.aborted) {
      await news.wait(compareExecutorsMs, signal);
      await pause(gatherMs, signal);
      const changed = await getJobSummaries(db, take(jobs), access.namespaces());
      for (const job of changed) {
        yield { kind: "job", job };
        if (job.executor !== null) executors.add(job.executor);
      }
      if (access.actor.kind === "user") continue;
      const compareAll = Date.now() - comparedAt >= compareExecutorsMs;
      const names = take(executors);
      if (!compareAll && names.length === 0) continue;
      if (compareAll) comparedAt = Date.now();
      for (const executor of await listExecutors(db, compareAll ? undefined : names)) {
        const digest = digestOf(executor);
        if (shown.get(executor.name) !== digest) yield { kind: "executor", executor };
        shown.set(executor.name, digest);
      }
    }
  } finally {
    unsubscribe();
  }
}

function take<T>(set: Set<T>): T[] {
  const values = [...set];
  set.clear();
  return values;
}

/** Excludes the time of the last heartbeat, which changes all the time. */
function digestOf(executor: ExecutorView): string {
  const { lastSeenAt: _lastSeenAt, ...rest } = executor;
  return JSON.stringify(rest);
}
