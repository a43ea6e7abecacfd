import { DequeueRequest, type JobPayloadWire } from "@airlock/api";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import type { z } from "zod";
import type { InstanceContext } from "../../instance-context.ts";
import { jobPayload, payloadVersion } from "../../queues/job-payload.ts";
import { ExecutorApiError } from "./authenticate-executor.ts";
import { KnownQueues } from "./known-queues.ts";
import { parseBody, requireExecutorName } from "./parse-body.ts";

export function dequeueRoutes(app: FastifyInstance, context: InstanceContext): void {
  const knownQueues = new KnownQueues(context.db);

  app.post<{ Params: { queue: string } }>("/queue/:queue/dequeue", async (request, reply) => {
    const { queue } = request.params;
    const body = parseDequeue(request);
    if (!(await knownQueues.has(queue))) throw new ExecutorApiError(404, `there is no queue "${queue}"`);
    return answer(reply, await next(request, reply, body, [queue], false));
  });

  app.post("/queue/dequeue", async (request, reply) => {
    const body = parseDequeue(request);
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
    // An executor that knows our extensions reads the newest payload, whatever its own version number.
    const version = body.airlock ? 2 : payloadVersion(body.version);
    if (version === undefined) throw new ExecutorApiError(500, `"${body.version}" is not a version`);
    const gone = new AbortController();
    reply.raw.once("close", () => gone.abort(new Error("the executor hung up")));
    const job = await context.dispatcher.dequeue(
      { queues, executor: body.executorName, labels: body.airlock?.labels ?? {} },
      body.airlock?.waitMs ?? 0,
      gone.signal,
    );
    if (!job) return null;
    context.notifications.publish({ kind: "job", job: job.id });
    context.metrics.dequeueWait.observe({ queue: job.queue }, job.waitedMs / 1000);
    const { id: jobId, attempt, queue } = job;
    request.log.info({ jobId, attempt, queue, executor: body.executorName }, "job handed out");
    const { maxArtifactBytes } = context.config;
    return jobPayload(job, { version, withQueue, withExtension: body.airlock !== undefined, maxArtifactBytes });
  }
}

function parseDequeue(request: FastifyRequest): z.output<typeof DequeueRequest> {
  requireExecutorName(request.body);
  return parseBody(DequeueRequest, request.body);
}

function answer(reply: FastifyReply, payload: JobPayloadWire | null): FastifyReply {
  return payload ? reply.status(200).send(payload) : reply.status(204).send();
}
