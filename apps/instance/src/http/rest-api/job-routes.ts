import { Readable } from "node:stream";
import { JobList, JobLogsQuery, JobSpec, JobView, ListJobsQuery } from "@airlock/api";
import { AirlockError } from "@airlock/job";
import type { FastifyReply } from "fastify";
import { z } from "zod";
import { listLogEntries, readAnnotatedLog, readOutput } from "../../logs/read-log.ts";
import { type TransitionResult, transitionJob } from "../../queues/transition-job.ts";
import { submitJob } from "../../submission/submit-job.ts";
import { followJob, type LogPosition } from "../../views/follow-job.ts";
import { getJobView, listJobs } from "../../views/job-views.ts";
import { sendEventStream } from "../shared/event-stream.ts";
import type { InstanceContext } from "../shared/instance-context.ts";
import { streamOptions } from "./stream-options.ts";
import { errorAnswers, notFound, type ZodScope } from "./zod-scope.ts";

const JobParams = z.strictObject({ id: z.coerce.number().int().positive().max(Number.MAX_SAFE_INTEGER) });
const IdempotencyHeaders = z.object({ "idempotency-key": z.string().min(1).max(255).optional() });
const tags = ["jobs"];

/** A job may hold a thousand steps with long scripts. */
const jobBodyLimit = 16 * 1024 * 1024;

export function jobRoutes(app: ZodScope, context: InstanceContext): void {
  const { db, notifications } = context;

  async function view(id: number): Promise<JobView> {
    const job = await getJobView(db, id);
    if (!job) throw notFound(`job ${id}`);
    return job;
  }

  app.post(
    "/jobs",
    {
      bodyLimit: jobBodyLimit,
      schema: {
        tags,
        summary: "Submit a job",
        description: "With an Idempotency-Key, sending the same job again returns the existing job, with status 200.",
        headers: IdempotencyHeaders,
        body: JobSpec,
        response: { 200: JobView, 201: JobView, ...errorAnswers },
      },
    },
    async (request, reply) => {
      await context.namespaces.ensure(request.body.namespace);
      const job = await submitJob(context, request.body, request.headers["idempotency-key"] ?? null);
      if (job.created) {
        context.metrics.submitted.inc({ queue: request.body.queue });
        request.log.info({ jobId: job.id, queue: request.body.queue }, "job submitted");
      }
      return reply
        .status(job.created ? 201 : 200)
        .header("location", `/api/v1/jobs/${job.id}`)
        .send(await view(job.id));
    },
  );

  app.get(
    "/jobs",
    {
      schema: {
        tags,
        summary: "List jobs, newest first",
        querystring: ListJobsQuery,
        response: { 200: JobList, ...errorAnswers },
      },
    },
    async (request) => {
      const { state, label, limit, ...filter } = request.query;
      const jobs = await listJobs(db, { ...filter, states: state, labels: label, limit: limit + 1 });
      const page = jobs.slice(0, limit);
      return { jobs: page, next: jobs.length > limit ? (page.at(-1)?.id ?? null) : null };
    },
  );

  app.get(
    "/jobs/:id",
    { schema: { tags, summary: "Show a job", params: JobParams, response: { 200: JobView, ...errorAnswers } } },
    async (request) => view(request.params.id),
  );

  app.post(
    "/jobs/:id/cancel",
    { schema: { tags, summary: "Cancel a job", params: JobParams, response: { 200: JobView, ...errorAnswers } } },
    async (request) => {
      const { id } = request.params;
      const job = required(await transitionJob(db, id, { kind: "cancel" }), id);
      notifications.publish({ kind: "job", job: id });
      if (job.state === "processing" && job.executor !== null) {
        notifications.publish({ kind: "cancel", job: id, attempt: job.attempt, executor: job.executor });
      }
      request.log.info({ jobId: id }, "job cancel requested");
      return view(id);
    },
  );

  app.post(
    "/jobs/:id/retry",
    {
      schema: {
        tags,
        summary: "Run a finished job again",
        params: JobParams,
        response: { 200: JobView, ...errorAnswers },
      },
    },
    async (request) => {
      const { id } = request.params;
      const job = required(await transitionJob(db, id, { kind: "retry" }), id);
      notifications.publish({ kind: "queued", queue: job.queue }, { kind: "job", job: id });
      request.log.info({ jobId: id }, "job retried");
      return view(id);
    },
  );

  app.get(
    "/jobs/:id/logs",
    {
      schema: {
        tags,
        summary: "The log of one attempt (default: the last) as plain text",
        params: JobParams,
        querystring: JobLogsQuery,
        response: { 200: { content: { "text/plain": { schema: z.string() } } }, ...errorAnswers },
      },
    },
    async (request, reply) => {
      const { id } = request.params;
      const job = await view(id);
      const attempt = request.query.attempt ?? job.attempts.at(-1)?.attempt;
      if (request.query.attempt !== undefined && !job.attempts.some((one) => one.attempt === attempt)) {
        throw notFound(`attempt ${attempt} of job ${id}`);
      }
      let entries = attempt === undefined ? [] : await listLogEntries(db, id, attempt);
      const { entry, notes = String(entry === undefined) } = request.query;
      if (entry !== undefined) {
        entries = entries.filter((one) => one.entryId === entry);
        if (entries.length === 0) throw notFound(`log entry ${entry} in attempt ${attempt} of job ${id}`);
      }
      // The schema describes text; the response is a stream of it.
      return (reply as FastifyReply)
        .header("content-type", "text/plain; charset=utf-8")
        .send(
          Readable.from(
            notes === "true" && attempt !== undefined
              ? readAnnotatedLog(db, { job: id, attempt, entries })
              : readOutput(db, id, entries),
            { objectMode: false },
          ),
        );
    },
  );

  app.get(
    "/jobs/:id/events",
    {
      schema: {
        tags,
        summary: "The job, its entries and its output, then live, as server-sent events",
        params: JobParams,
        response: { 200: { content: { "text/event-stream": { schema: z.string() } } }, ...errorAnswers },
      },
    },
    async (request, reply) => {
      const { id } = request.params;
      await view(id);
      const after = parsePosition(request.headers["last-event-id"]);
      await sendEventStream(request, reply, streamOptions(request, context), async function* (signal) {
        for await (const { id: eventId, event } of followJob(context, id, { after, signal })) {
          yield { id: eventId, data: event };
        }
      });
    },
  );
}

/** Parses `attempt.entryId.offset`. Anything else starts from the beginning. */
function parsePosition(header: string | string[] | undefined): LogPosition | null {
  const match = typeof header === "string" ? /^(\d{1,9})\.(\d{1,9})\.(\d{1,15})$/.exec(header) : null;
  if (!match) return null;
  return { attempt: Number(match[1]), entryId: Number(match[2]), offset: Number(match[3]) };
}

function required(result: TransitionResult, id: number) {
  switch (result.kind) {
    case "changed":
      return result.job;
    case "unknown-job":
      throw notFound(`job ${id}`);
    case "refused":
      throw new AirlockError(result.error.message, {
        code: "wrong-state",
        hint: "Only queued or processing jobs can be canceled. Only finished jobs can be retried.",
        cause: result.error,
      });
  }
}
