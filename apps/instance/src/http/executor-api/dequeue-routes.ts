import { DequeueRequest, type JobPayloadWire } from "@airlock/api";
import { errorMessage, parseBytes } from "@airlock/job";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import type { z } from "zod";
import { parseExecutorVersion, payloadVersion, usesJobTokens } from "../../dispatch/executor-version.ts";
import { jobPayload } from "../../dispatch/job-payload.ts";
import { type JobSecrets, jobSecrets } from "../../dispatch/job-secrets.ts";
import { refuseJob } from "../../dispatch/refuse-job.ts";
import { ExecutorOffers } from "../../executors/executor-offers.ts";
import type { DequeuedJob, ResourceOffer } from "../../queues/dequeue-job.ts";
import { jobNeeds, supportedNeeds } from "../../queues/job-needs.ts";
import { warnOfUnenforced } from "../../queues/warn-of-unenforced.ts";
import { auditSource } from "../shared/audit-source.ts";
import type { InstanceContext } from "../shared/instance-context.ts";
import { accessOf } from "../shared/route-access.ts";
import { ExecutorApiError } from "./authenticate-executor.ts";
import { KnownQueues } from "./known-queues.ts";
import { parseBody, requireExecutorName } from "./parse-body.ts";
import { knownQueueOf, requireQueues } from "./queue-scope.ts";

export function dequeueRoutes(app: FastifyInstance, context: InstanceContext): void {
  const knownQueues = new KnownQueues(context.db);
  const offers = new ExecutorOffers(context.db);

  app.post<{ Params: { queue: string } }>("/queue/:queue/dequeue", async (request, reply) => {
    const { queue } = request.params;
    const body = parseDequeue(request);
    await requireQueues(context.db, request, [queue], body.executorName);
    if (!(await knownQueues.has(queue))) throw new ExecutorApiError(404, `queue "${queue}" not found`);
    return answer(reply, await next(request, reply, body, [queue], false));
  });

  app.post("/queue/dequeue", async (request, reply) => {
    const body = parseDequeue(request);
    await requireQueues(context.db, request, body.queues, body.executorName);
    if (body.queues.length === 0) {
      request.log.warn({ executor: body.executorName }, "dequeue names no queue");
      return reply.status(204).send();
    }
    if (!(await knownQueues.hasAll(body.queues))) {
      throw new ExecutorApiError(500, `unknown queue among ${body.queues.join(", ")}`);
    }
    return answer(reply, await next(request, reply, body, [...new Set(body.queues)], true));
  });

  async function next(
    request: FastifyRequest,
    reply: FastifyReply,
    body: z.output<typeof DequeueRequest>,
    queues: readonly string[],
    withQueue: boolean,
  ): Promise<JobPayloadWire | null> {
    const version = payloadVersionFor(body, knownQueueOf(request) === null);
    const gone = new AbortController();
    reply.raw.once("close", () => gone.abort(new Error("the executor disconnected")));
    const offer = resourceOffer(body);
    await offers.record(body.executorName, { ...offer, capabilities: body.airlock?.capabilities ?? [] });
    const taken = await take(request, body, queues, offer, gone.signal);
    if (!taken) return null;
    const { job, secrets } = taken;
    reply.raw.once("close", () => {
      // The response was not sent completely, so no executor has the job and its lease would only delay it.
      if (reply.raw.writableFinished) return;
      context.dispatcher.handBack(job, body.executorName).catch((error: unknown) => {
        request.log.warn(
          { err: error, jobId: job.id },
          "job could not be put back into its queue; its lease will expire",
        );
      });
    });
    context.notifications.publish({ kind: "job", job: job.id });
    context.metrics.handedOut(job.queue, job.waitedMs);
    const { id: jobId, attempt, queue } = job;
    request.log.info({ jobId, attempt, queue, executor: body.executorName }, "job handed out");
    const { maxArtifactBytes } = context.config;
    return jobPayload(job, secrets, {
      version,
      plainFiles: isOf2022(body),
      withQueue,
      withExtension: body.airlock !== undefined,
      maxArtifactBytes,
    });
  }

  function payloadVersionFor(body: z.output<typeof DequeueRequest>, hasSharedSecret: boolean): 1 | 2 {
    // An executor with our extensions reads the newest payload, whatever its version number.
    if (body.airlock) return 2;
    const version = parseExecutorVersion(body.version);
    if (version === undefined) {
      throw new ExecutorApiError(400, `version: "${body.version}" is not a version, such as 5.3.0`);
    }
    if (!hasSharedSecret && !usesJobTokens(version)) {
      throw new ExecutorApiError(
        403,
        "executors before 5.0 report on jobs with the shared secret, and not with an executor token: use a newer executor",
      );
    }
    if (!context.config.legacySharedSecret && !usesJobTokens(version)) {
      throw new ExecutorApiError(
        403,
        "executors before 5.0 report on jobs with the shared secret, which this instance does not accept: " +
          "use a newer executor, or set AIRLOCK_LEGACY_SHARED_SECRET=true on the instance",
      );
    }
    return payloadVersion(version);
  }

  /**
   * Takes the next job with its secrets. A job whose secrets are unavailable ends, and the executor gets the next one.
   */
  async function take(
    request: FastifyRequest,
    body: z.output<typeof DequeueRequest>,
    queues: readonly string[],
    offer: ResourceOffer,
    signal: AbortSignal,
  ): Promise<{ readonly job: DequeuedJob; readonly secrets: JobSecrets } | null> {
    const { db, sealer, dispatcher } = context;
    const executor = body.executorName;
    const waitUntil = performance.now() + (body.airlock?.waitMs ?? 0);
    const supports = supportedNeeds({
      extensions: body.airlock !== undefined,
      capabilities: body.airlock?.capabilities ?? [],
    });
    const options = { queues, executor, labels: body.airlock?.labels ?? {}, offer, supports };
    for (;;) {
      const job = await dispatcher.dequeue(options, waitUntil - performance.now(), signal);
      if (!job) return null;
      // The token may have been revoked while the poll waited.
      if (knownQueueOf(request) !== null && !(await accessOf(request).stillAllowed())) {
        await dispatcher.handBack(job, executor);
        throw new ExecutorApiError(401, "the executor token was revoked or has expired");
      }
      try {
        const secrets = await jobSecrets(job, {
          db,
          sealer,
          executor,
          by: auditSource(request, executor),
          splitsLines: body.airlock !== undefined,
        });
        if (!signal.aborted) {
          const unenforced = jobNeeds(job.spec, job.commit).filter((need) => !supports.includes(need));
          if (unenforced.length > 0) await warnOfUnenforced(db, job, executor, unenforced);
          return { job, secrets };
        }
      } catch (error) {
        request.log.warn({ jobId: job.id, attempt: job.attempt, problem: errorMessage(error) }, "job not handed out");
        await refuseJob(context, job, executor, error);
        continue;
      }
      // The client disconnected before a listener for this job existed.
      await dispatcher.handBack(job, executor);
      return null;
    }
  }
}

/** Executors from 2022 send only their name. */
function isOf2022({ version, numCPUs, memory, diskSpace, airlock }: z.output<typeof DequeueRequest>): boolean {
  return [version, numCPUs, memory, diskSpace, airlock].every((member) => member === undefined);
}

/** 0, and text that is not a size, mean no limit. */
function resourceOffer(body: z.output<typeof DequeueRequest>): ResourceOffer {
  return {
    cpuMillis: body.numCPUs ? Math.round(body.numCPUs * 1000) : null,
    memoryBytes: parseBytes(body.memory ?? "") || null,
    diskBytes: parseBytes(body.diskSpace ?? "") || null,
  };
}

function parseDequeue(request: FastifyRequest): z.output<typeof DequeueRequest> {
  requireExecutorName(request.body);
  return parseBody(DequeueRequest, request.body);
}

function answer(reply: FastifyReply, payload: JobPayloadWire | null): FastifyReply {
  return payload ? reply.status(200).send(payload) : reply.status(204).send();
}
