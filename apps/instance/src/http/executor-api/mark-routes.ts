import { MarkCompleteRequest, MarkErrorRequest } from "@airlock/api";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import {
  type AttemptEnd,
  type AttemptKey,
  attemptEnd,
  completeAttempt,
  type EndedAttempt,
  errorAttempt,
  failAttempt,
} from "../../queues/end-attempt.ts";
import { failedStepExitCode } from "../../views/failed-step.ts";
import { storeStepResults } from "../../views/step-results.ts";
import type { InstanceContext } from "../shared/instance-context.ts";
import { JobScope } from "./job-scope.ts";
import { parseBody } from "./parse-body.ts";

type QueueParams = { Params: { queue: string } };

/** A step's last output may be long. Its log has all of it. */
const maxMessageLength = 16 * 1024;

export function markRoutes(app: FastifyInstance, context: InstanceContext): void {
  const { db, notifications, metrics } = context;
  const scope = new JobScope(app, context);

  app.post<QueueParams>("/queue/:queue/markComplete", async (request, reply) => {
    const body = parseBody(MarkCompleteRequest, request.body);
    const key = await scope.attemptOf(request, request.params.queue, body);
    if (key && body.steps) await storeStepResults(db, key, body.steps);
    const done = key && (await completeAttempt(db, key));
    return finish(request, reply, { key, done, end: "completed" }, (before) => {
      return body.attempt !== undefined && before.state === "completed";
    });
  });

  for (const [route, reportedEnd, defaultReason] of [
    ["markErrored", "errored", "internal"],
    ["markFailed", "failed", "step-failed"],
  ] as const) {
    app.post<QueueParams>(`/queue/:queue/${route}`, async (request, reply) => {
      const body = parseBody(MarkErrorRequest, request.body);
      const key = await scope.attemptOf(request, request.params.queue, body);
      if (key && body.steps) await storeStepResults(db, key, body.steps);
      // Executors of the base protocol report a step that failed as an error. Only the log tells.
      const stepCode = key && body.reason === undefined ? await failedStepExitCode(db, key) : null;
      const end = stepCode === null ? reportedEnd : "failed";
      const failure = {
        reason: body.reason ?? (stepCode === null ? defaultReason : "step-failed"),
        message: body.errorMessage.slice(0, maxMessageLength),
        exitCode: body.exitCode ?? (stepCode === null ? null : Math.min(stepCode, 255)),
      };
      const done = key && (await (end === "failed" ? failAttempt : errorAttempt)(db, key, failure));
      return finish(request, reply, { key, done, end }, (before) => {
        const same = before.state === end || before.state === "canceled";
        return body.attempt !== undefined && same && before.failureReason === failure.reason;
      });
    });
  }

  /**
   * Answers a repeated report, whose first response was lost, like the first one if it names its attempt. Any other
   * late report has no effect.
   */
  async function finish(
    request: FastifyRequest<QueueParams>,
    reply: FastifyReply,
    { key, done, end }: { readonly key: AttemptKey | null; readonly done: EndedAttempt | null; readonly end: string },
    isSame: (before: AttemptEnd) => boolean,
  ): Promise<FastifyReply> {
    const { queue } = request.params;
    if (key && done) {
      metrics.attemptEnded(queue, end, done.ranMs);
      context.dispatcher.attemptEnded(queue);
      notifications.publish({ kind: "job", job: key.job }, { kind: "log", job: key.job });
      // An errored attempt may put the job back into its queue.
      if (end === "errored") notifications.publish({ kind: "queued", queue });
      request.log.info({ jobId: key.job, attempt: key.attempt, executor: key.executor, end }, "attempt ended");
      return reply.status(204).send();
    }
    const before = key && (await attemptEnd(db, key));
    if (before && isSame(before)) return reply.status(204).send();
    return reply.status(404).type("application/json").send("null");
  }
}
