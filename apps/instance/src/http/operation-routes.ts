import type { FastifyInstance } from "fastify";
import { sql } from "kysely";
import { storedBytes } from "../artifacts/storage-quota.ts";
import { countActiveExecutors } from "../executors/executor-registry.ts";
import { domainOf } from "../metrics/metrics.ts";
import { readPushedMetrics } from "../metrics/pushed-metrics-store.ts";
import { countRecentDequeues, listQueues } from "../queues/queue-settings.ts";
import { requireMetricsAccess } from "./metrics-access.ts";
import type { InstanceContext } from "./shared/instance-context.ts";

const healthTimeoutMs = 3000;

/** `/healthz` for supervisors and load balancers, `/metrics` for Prometheus. */
export function operationRoutes(app: FastifyInstance, context: InstanceContext): void {
  const { db, metrics, dispatcher } = context;

  app.get("/healthz", { config: { anyHost: true } }, async (request, reply) => {
    try {
      await withTimeout(sql`select 1`.execute(db));
      return reply.type("text/plain").send("ok\n");
    } catch (error) {
      // The error may name hosts and users of the database, and anybody may ask.
      request.log.warn({ err: error }, "health check failed: the database does not answer");
      return reply.status(503).type("text/plain").send("the database does not answer\n");
    }
  });

  const { metricsToken, openMetrics } = context.config;
  const access = { metricsToken, openMetrics, administratorToken: context.administratorToken };
  app.get("/metrics", async (request, reply) => {
    requireMetricsAccess(request, access);
    const recent = await countRecentDequeues(db);
    for (const queue of await listQueues(db, null)) {
      metrics.queueSize.set({ queue: queue.name }, queue.queued);
      metrics.queueAge.set({ queue: queue.name }, (queue.oldestQueuedMs ?? 0) / 1000);
      metrics.queueDemand.set({ queue: queue.name }, queue.queued + queue.processing);
      metrics.queueDepth.set({ domain: domainOf(queue.name) }, queue.queued);
      metrics.recentDequeues.set({ queue: queue.name }, recent.get(queue.name) ?? 0);
      metrics.processing.set({ queue: queue.name }, queue.processing);
    }
    metrics.executors.set(await countActiveExecutors(db));
    metrics.parkedPolls.set(dispatcher.parked);
    for (const kind of ["artifacts", "uploads"] as const) {
      metrics.storedBytes.set({ kind }, await storedBytes(db, kind));
      const { totalBytes } = context.config.storageQuotas[kind];
      if (totalBytes !== null) metrics.storageQuota.set({ kind }, totalBytes);
    }
    const pushed = await readPushedMetrics(db);
    metrics.pushedSeriesLeft.set(pushed.left);
    return reply.type(metrics.registry.contentType).send(await metrics.text(pushed.metrics));
  });
}

async function withTimeout<T>(work: Promise<T>): Promise<T> {
  const { promise, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new Error(`no answer in ${healthTimeoutMs} ms`)), healthTimeoutMs);
  try {
    return await Promise.race([work, promise]);
  } finally {
    clearTimeout(timer);
  }
}
