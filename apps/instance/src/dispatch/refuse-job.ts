import { AirlockError, errorMessage } from "@airlock/job";
import type { Metrics } from "../metrics/metrics.ts";
import type { DequeuedJob } from "../queues/dequeue-job.ts";
import { errorAttempt, failAttempt } from "../queues/end-attempt.ts";
import type { Database } from "../store/database.ts";
import type { Notifications } from "../store/notifications.ts";
import type { Dispatcher } from "./dispatcher.ts";

export interface RefuseContext {
  readonly db: Database;
  readonly notifications: Notifications;
  readonly dispatcher: Dispatcher;
  readonly metrics: Metrics;
}

/** Ends an attempt that was opened for an executor but can't be handed out. */
export async function refuseJob(
  context: RefuseContext,
  job: DequeuedJob,
  executor: string,
  error: unknown,
): Promise<void> {
  const { db, notifications, dispatcher, metrics } = context;
  const key = { job: job.id, attempt: job.attempt, executor };
  const known = error instanceof AirlockError ? error : undefined;
  const reason = known?.reason ?? "internal";
  const final = known !== undefined && known.reason !== undefined && !known.retryable;
  // The message of an unexpected error may quote secret data.
  const message = known
    ? errorMessage(known)
    : "the instance failed to assign the job to an executor; its log has the details";
  const failure = { reason, message: known?.hint ? `${message}. ${known.hint}` : message, exitCode: null };
  const done = final ? await failAttempt(db, key, failure) : await errorAttempt(db, key, failure);
  if (!done) return;
  metrics.attemptEnded(job.queue, final ? "failed" : "errored", done.ranMs);
  dispatcher.attemptEnded(job.queue);
  notifications.publish({ kind: "job", job: job.id });
  if (!final) notifications.publish({ kind: "queued", queue: job.queue });
}
