import { AddLogEntryRequest, LogBatchRequest, type LogConflict, UpdateLogEntryRequest } from "@airlock/api";
import type { FastifyInstance } from "fastify";
import type { z } from "zod";
import { appendLogBatch } from "../../logs/append-log-batch.ts";
import { addLogEntry, updateLogEntry, type WholeLogEntry } from "../../logs/whole-log-entry.ts";
import type { InstanceContext } from "../shared/instance-context.ts";
import { ExecutorApiError } from "./authenticate-executor.ts";
import { JobScope } from "./job-scope.ts";
import { parseBody } from "./parse-body.ts";

type QueueParams = { Params: { queue: string } };

/** Executors without append-only logs resend the whole entry each time. */
const wholeEntryBodyLimit = 64 * 1024 * 1024;
const batchBodyLimit = 32 * 1024 * 1024;

export function logRoutes(app: FastifyInstance, context: InstanceContext): void {
  const { db, notifications } = context;
  const scope = new JobScope(app, context);

  app.post<QueueParams>("/queue/:queue/logs", { bodyLimit: batchBodyLimit }, async (request, reply) => {
    const body = parseBody(LogBatchRequest, request.body);
    const key = await scope.attemptOf(request, request.params.queue, body);
    const result = key ? await appendLogBatch(db, key, body.events) : { kind: "lapsed" as const };
    if (result.kind === "lapsed") {
      const conflict: z.input<typeof LogConflict> = {
        code: "lapsed-attempt",
        error: `attempt ${body.attempt} of job ${body.jobId} is not running`,
        entryId: 0,
        expectedOffset: 0,
      };
      return reply.status(409).send(conflict);
    }
    notifications.publish({ kind: "log", job: body.jobId });
    if (result.kind === "appended") return reply.status(204).send();
    const { error, entryId, expectedOffset } = result;
    const conflict: z.input<typeof LogConflict> = { code: "log-conflict", error, entryId, expectedOffset };
    return reply.status(409).send(conflict);
  });

  app.post<QueueParams>(
    "/queue/:queue/addExecutionLogEntry",
    { bodyLimit: wholeEntryBodyLimit },
    async (request, reply) => {
      const body = parseBody(AddLogEntryRequest, request.body);
      const key = await scope.attemptOf(request, request.params.queue, body);
      const entryId = key && (await addLogEntry(db, key, toWholeEntry(body)));
      if (entryId === null) throw new ExecutorApiError(500, "unknown job");
      notifications.publish({ kind: "log", job: body.jobId });
      return reply.type("application/json").send(String(entryId));
    },
  );

  app.post<QueueParams>(
    "/queue/:queue/updateExecutionLogEntry",
    { bodyLimit: wholeEntryBodyLimit },
    async (request, reply) => {
      const body = parseBody(UpdateLogEntryRequest, request.body);
      const key = await scope.attemptOf(request, request.params.queue, body);
      const updated = key !== null && (await updateLogEntry(db, key, body.entryId, toWholeEntry(body)));
      if (!updated) throw new ExecutorApiError(500, "unknown job or log entry");
      notifications.publish({ kind: "log", job: body.jobId });
      return reply.status(204).send();
    },
  );
}

function toWholeEntry(body: z.output<typeof AddLogEntryRequest>): WholeLogEntry {
  return {
    key: body.key,
    command: body.command,
    startTime: body.startTime,
    exitCode: body.exitCode ?? null,
    durationMs: body.durationMs ?? null,
    text: body.out ?? "",
  };
}
