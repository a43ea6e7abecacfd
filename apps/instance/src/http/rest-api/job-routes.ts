import { Readable } from "node:stream";
import { JobList, JobLogsQuery, JobView, ListJobsQuery, SubmitJobRequest } from "@airlock/api";
import { AirlockError } from "@airlock/job";
import type { FastifyReply, FastifyRequest } from "fastify";
import { z } from "zod";
import type { Actor } from "../../access/actor.ts";
import { listLogEntries, readAnnotatedLog, readOutput } from "../../logs/read-log.ts";
import { type TransitionResult, transitionJob } from "../../queues/transition-job.ts";
import { unknownRepository } from "../../repositories/repository-rows.ts";
import { namespacesThatSee } from "../../repositories/repository-visibility.ts";
import { submitJob } from "../../submission/submit-job.ts";
import { followJob, type LogPosition } from "../../views/follow-job.ts";
import { getJobView, listJobs, namespaceOfJob } from "../../views/job-views.ts";
import { audited, auditSource } from "../shared/audit-source.ts";
import { sendEventStream } from "../shared/event-stream.ts";
import type { InstanceContext } from "../shared/instance-context.ts";
import { accessOf } from "../shared/route-access.ts";
import { IdempotencyHeaders } from "./idempotency.ts";
import { streamOptions } from "./stream-options.ts";
import { errorAnswers, notFound, unknownNamespace, type ZodScope } from "./zod-scope.ts";

const JobParams = z.strictObject({ id: z.coerce.number().int().positive().max(Number.MAX_SAFE_INTEGER) });
const tags = ["jobs"];

/** A job may hold a thousand steps with long scripts. */
const jobBodyLimit = 16 * 1024 * 1024;

export function jobRoutes(app: ZodScope, context: InstanceContext): void {
  const { db, notifications, repositories } = context;

  async function view(request: FastifyRequest, id: number): Promise<JobView> {
    const job = await getJobView(db, id, accessOf(request).namespaces());
    if (!job) throw notFound(`job ${id}`);
    return job;
  }

  /** Refuses the request unless the caller may do this to the job. Returns its namespace. */
  async function requireJob(request: FastifyRequest, id: number): Promise<string> {
    const namespace = await namespaceOfJob(db, id);
    if (namespace === null) throw notFound(`job ${id}`);
    accessOf(request).require({ namespace }, notFound(`job ${id}`));
    return namespace;
  }

  /** Cancels or retries a job, and records it. */
  async function change(
    request: FastifyRequest,
    { id, namespace }: { readonly id: number; readonly namespace: string },
    kind: "cancel" | "retry",
  ): Promise<TransitionResult> {
    return audited(
      db,
      request,
      (transaction) => transitionJob(transaction, id, { kind }),
      (result) => {
        if (result.kind !== "changed") return null;
        return { action: kind === "cancel" ? "job.canceled" : "job.retried", namespace, job: id };
      },
    );
  }

  /** A job reads its repository, so only those who see the repository may run it. */
  async function requireRepository(request: FastifyRequest, namespace: string, nameOrUrl: string): Promise<void> {
    const access = accessOf(request);
    // Administrators see every repository. The submission reports one that does not exist.
    if (access.actor.kind !== "user") return;
    const name = await repositories.nameOf(nameOrUrl);
    access.require({ namespace, visibleTo: await namespacesThatSee(db, name) }, unknownRepository(nameOrUrl));
  }

  app.post(
    "/jobs",
    {
      bodyLimit: jobBodyLimit,
      schema: {
        tags,
        summary: "Submit a job",
        description:
          "Without a namespace, a user's job belongs to the namespace of the user's own name, and a job of the " +
          "administrator's token to the namespace default. With an Idempotency-Key, sending the same job again " +
          "returns the existing job, with status 200.",
        headers: IdempotencyHeaders,
        body: SubmitJobRequest,
        response: { 200: JobView, 201: JobView, ...errorAnswers },
      },
    },
    async (request, reply) => {
      const access = accessOf(request);
      const { repository, namespace = defaultNamespace(access.actor) } = request.body;
      access.require({ namespace }, unknownNamespace(namespace));
      await context.namespaces.ensure(namespace, auditSource(request));
      if (repository !== undefined) await requireRepository(request, namespace, repository);
      const key = request.headers["idempotency-key"] ?? null;
      // Keys of users are their namespace's own. Otherwise a conflict would tell which keys others use.
      const ownKey = key !== null && access.actor.kind === "user" ? `${namespace}/${key}` : key;
      const job = await submitJob(context, { ...request.body, namespace }, ownKey, auditSource(request));
      if (job.created) {
        context.metrics.submitted.inc({ queue: request.body.queue });
        request.log.info({ jobId: job.id, queue: request.body.queue }, "job submitted");
      }
      return reply
        .status(job.created ? 201 : 200)
        .header("location", `/api/v1/jobs/${job.id}`)
        .send(await view(request, job.id));
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
      const visible = accessOf(request).namespaces();
      const jobs = await listJobs(db, { ...filter, visible, states: state, labels: label, limit: limit + 1 });
      const page = jobs.slice(0, limit);
      return { jobs: page, next: jobs.length > limit ? (page.at(-1)?.id ?? null) : null };
    },
  );

  app.get(
    "/jobs/:id",
    { schema: { tags, summary: "Show a job", params: JobParams, response: { 200: JobView, ...errorAnswers } } },
    async (request) => {
      await requireJob(request, request.params.id);
      return view(request, request.params.id);
    },
  );

  app.post(
    "/jobs/:id/cancel",
    { schema: { tags, summary: "Cancel a job", params: JobParams, response: { 200: JobView, ...errorAnswers } } },
    async (request) => {
      const { id } = request.params;
      const namespace = await requireJob(request, id);
      const job = required(await change(request, { id, namespace }, "cancel"), id);
      notifications.publish({ kind: "job", job: id });
      if (job.state === "processing" && job.executor !== null) {
        notifications.publish({ kind: "cancel", job: id, attempt: job.attempt, executor: job.executor });
      }
      request.log.info({ jobId: id }, "job cancel requested");
      return view(request, id);
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
      await requireJob(request, id);
      const before = await view(request, id);
      if (before.repository !== null) await requireRepository(request, before.namespace, before.repository);
      const job = required(await change(request, before, "retry"), id);
      notifications.publish({ kind: "queued", queue: job.queue }, { kind: "job", job: id });
      request.log.info({ jobId: id }, "job retried");
      return view(request, id);
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
      await requireJob(request, id);
      const job = await view(request, id);
      const attempt = request.query.attempt ?? job.attempts.at(-1)?.attempt;
      if (request.query.attempt !== undefined && !job.attempts.some((one) => one.attempt === attempt)) {
        throw notFound(`attempt ${attempt} of job ${id}`);
      }
      let entries = attempt === undefined ? [] : await listLogEntries(db, id, attempt);
      const { entry, notes = String(entry === undefined) } = request.query;
      const times = request.query.times === "true";
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
              ? readAnnotatedLog(db, { job: id, attempt, entries, times })
              : readOutput(db, id, entries, times),
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
      await requireJob(request, id);
      const after = parsePosition(request.headers["last-event-id"]);
      await sendEventStream(request, reply, streamOptions(request, context), async function* (signal) {
        for await (const { id: eventId, event } of followJob(context, id, {
          after,
          signal,
          visible: () => accessOf(request).namespaces(),
        })) {
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

/** A person's own namespace. The administrator's token has none. */
function defaultNamespace(actor: Actor): string {
  return (actor.kind === "user" || actor.kind === "administrator" ? actor.user?.name : undefined) ?? "default";
}
