import {
  ExecutorName,
  HeartbeatRequest,
  MultiQueueHeartbeatRequest,
  maxJobIds,
  nullableArray,
  WireJobId,
} from "@airlock/api";
import type { FastifyInstance } from "fastify";
import { z } from "zod";
import { parseExecutorVersion, usesJobTokens } from "../../dispatch/executor-version.ts";
import { hasNoRoomFor, recordExecutor } from "../../executors/executor-registry.ts";
import { storePushedMetrics } from "../../metrics/pushed-metrics-store.ts";
import { type LeaseClaim, renewLeases } from "../../queues/renew-leases.ts";
import type { InstanceContext } from "../shared/instance-context.ts";
import { ExecutorApiError } from "./authenticate-executor.ts";
import { KnownQueues } from "./known-queues.ts";
import { parseBody, requireExecutorName } from "./parse-body.ts";
import { requireQueues } from "./queue-scope.ts";

const CanceledRequest = z.object({ executorName: ExecutorName, knownJobIds: nullableArray(WireJobId, maxJobIds) });
/** Heartbeats contain the executor's own metrics. */
const heartbeatBodyLimit = 4 * 1024 * 1024;

/** Whether the executor reads ids as numbers. An executor that sends no version with a heartbeat may be of any age. */
function readsNumbers(executorVersion: string): boolean {
  const version = parseExecutorVersion(executorVersion);
  return version !== undefined && version.kind !== "none" && !usesJobTokens(version);
}

export function heartbeatRoutes(app: FastifyInstance, context: InstanceContext): void {
  const { db, notifications } = context;
  const knownQueues = new KnownQueues(db);

  async function record(
    queues: readonly string[],
    body: z.output<typeof HeartbeatRequest> | z.output<typeof MultiQueueHeartbeatRequest>,
  ): Promise<{ airlock?: { drain: boolean; stay?: boolean } }> {
    if (await hasNoRoomFor(db, body.executorName)) {
      throw new ExecutorApiError(
        429,
        "the instance knows too many executors: reuse names (keep EXECUTOR_DATA_DIR), or wait a week until unused ones are forgotten",
      );
    }
    await storePushedMetrics(db, body.executorName, body.prometheusMetrics);
    const extension = body.airlock;
    const { changed, drainRequested } = await recordExecutor(db, {
      name: body.executorName,
      queues,
      airlock: extension !== undefined,
      version: body.executorVersion,
      runtime: extension?.runtime ?? "",
      runtimeVersion: extension?.runtimeVersion ?? "",
      os: body.os,
      architecture: body.architecture,
      gitVersion: body.gitVersion,
      dockerVersion: body.dockerVersion,
      // The base protocol has no member for it.
      slots: extension?.slots ?? null,
      labels: extension?.labels ?? {},
      process: extension?.process ?? "",
      draining: extension?.draining ?? false,
      paused: extension?.paused ?? null,
    });
    if (changed) notifications.publish({ kind: "executor", executor: body.executorName });
    // Only executors with our extensions know this member.
    if (!extension || !drainRequested) return {};
    return { airlock: extension.paused === undefined ? { drain: true } : { drain: true, stay: true } };
  }

  app.post<{ Params: { queue: string } }>(
    "/queue/:queue/heartbeat",
    { bodyLimit: heartbeatBodyLimit },
    async (request, reply) => {
      const { queue } = request.params;
      requireExecutorName(request.body);
      const body = parseBody(HeartbeatRequest, request.body);
      await requireQueues(db, request, [queue], body.executorName);
      if (!(await knownQueues.has(queue))) throw new ExecutorApiError(404, `queue "${queue}" not found`);
      const extension = await record([queue], body);
      const attempts = body.airlock?.attempts ?? {};
      const claims = body.jobIds.map((job): LeaseClaim => ({ job, attempt: attempts[String(job)] ?? null, queue }));
      const leases = await renewLeases(db, body.executorName, claims);
      const known = leases.map((lease) => lease.job);
      // Executors from 2022 read a bare list of numbers.
      if (body.version !== "V2") return reply.send(known);
      const written = readsNumbers(body.executorVersion) ? (id: number) => id : String;
      return reply.send({
        knownIds: known.map((id) => written(id)),
        cancelIds: leases.filter((lease) => lease.cancelRequested).map((lease) => written(lease.job)),
        ...extension,
      });
    },
  );

  app.post("/queue/heartbeat", { bodyLimit: heartbeatBodyLimit }, async (request, reply) => {
    requireExecutorName(request.body);
    const parsed = MultiQueueHeartbeatRequest.safeParse(request.body);
    if (parsed.error?.issues.some((issue) => issue.path.join(".") === "queueNames" && issue.code !== "too_big")) {
      throw new ExecutorApiError(500, "queueNames must name at least one queue");
    }
    const body = parseBody(MultiQueueHeartbeatRequest, request.body);
    await requireQueues(db, request, body.queueNames, body.executorName);
    if (!(await knownQueues.hasAll(body.queueNames))) {
      throw new ExecutorApiError(500, `unknown queue among ${body.queueNames.join(", ")}`);
    }
    const stray = body.jobIdsByQueue.find((one) => !body.queueNames.includes(one.queueName));
    if (stray) throw new ExecutorApiError(500, `queue "${stray.queueName}" is not among queueNames`);
    const attempts = body.airlock?.attempts ?? {};
    const claims = body.jobIdsByQueue.flatMap(({ queueName, jobIds }) =>
      jobIds.map((job): LeaseClaim => ({ job, attempt: attempts[String(job)] ?? null, queue: queueName })),
    );
    const extension = await record(body.queueNames, body);
    const leases = await renewLeases(db, body.executorName, claims);
    const canceled = leases.filter((lease) => lease.cancelRequested);
    return reply.send({
      knownIds: leases.map((lease) => `${lease.job}-${lease.queue}`),
      cancelIds: canceled.map((lease) => `${lease.job}-${lease.queue}`),
      ...extension,
    });
  });

  // Executors up to about 4.3 poll for cancellations. Those from 2022 use the route `canceled` and send no known jobs.
  for (const route of ["canceledJobs", "canceled"]) {
    app.post<{ Params: { queue: string } }>(`/queue/:queue/${route}`, async (request, reply) => {
      const { executorName, knownJobIds } = parseBody(CanceledRequest, request.body);
      await requireQueues(db, request, [request.params.queue], executorName);
      const rows = await db
        .selectFrom("jobs")
        .select("id")
        .where("state", "=", "processing")
        .where("executor", "=", executorName)
        .where("queue", "=", request.params.queue)
        .where("cancel_requested", "=", true)
        .orderBy("id")
        .execute();
      const ids = rows.map((row) => row.id);
      return reply.send(route === "canceled" ? ids : ids.filter((id) => knownJobIds.includes(id)));
    });
  }
}
