import { applyEvent, type FailureReason, type JobEvent, type JobState, TransitionError } from "@airlock/job";
import { sql } from "kysely";
import type { Database } from "../store/database.ts";
import { inTransaction } from "../store/in-transaction.ts";
import type { AttemptState } from "../store/schema.ts";

export type TransitionResult =
  | { readonly kind: "changed"; readonly job: TransitionedJob }
  | { readonly kind: "refused"; readonly error: TransitionError }
  | { readonly kind: "unknown-job" };

export interface TransitionedJob {
  readonly id: number;
  readonly queue: string;
  readonly state: JobState;
  readonly attempt: number;
  readonly executor: string | null;
  readonly cancelRequested: boolean;
  /** In ms from now; 0: the job may be handed out at once. */
  readonly visibleInMs: number;
  /** How long the attempt ran that the event ended; `null`: it ended no attempt. */
  readonly ranMs: number | null;
}

export interface TransitionOptions {
  /** Refuse unless this executor runs the attempt. */
  readonly executor?: string;
  readonly failure?: { readonly reason: FailureReason; readonly message: string; readonly exitCode: number | null };
}

interface LockedRow {
  id: number;
  queue: string;
  state: JobState;
  attempt: number;
  errors: number;
  losses: number;
  cancel_requested: boolean;
  visible_at: Date;
  lease_expires_at: Date | null;
  finished_at: Date | null;
  failure_reason: FailureReason | null;
  executor: string | null;
  started_at: Date | null;
  now: Date;
  max_attempts: number;
  max_losses: number;
  backoff_ms: number;
  backoff_max_ms: number;
  lease_ms: number;
  max_wait_ms: number | null;
}

/**
 * Handles the less frequent events of a job. Locks the row, asks the pure life cycle, and writes the result. Frequent
 * events (dequeue, heartbeat, complete, fail) have single statements of their own.
 */
export async function transitionJob(
  db: Database,
  id: number,
  event: JobEvent,
  options: TransitionOptions = {},
): Promise<TransitionResult> {
  return inTransaction(db, async (transaction) => {
    const { rows } = await sql<LockedRow>`
      select jobs.id, jobs.queue, state, attempt, errors, losses, cancel_requested, visible_at, lease_expires_at, finished_at,
        failure_reason, executor, started_at, airlock_now() as now, max_attempts, max_losses, backoff_ms, backoff_max_ms, lease_ms,
        max_wait_ms
      from jobs join queues on queues.name = jobs.queue
      where jobs.id = ${id}
      for update of jobs`.execute(transaction);
    const row = rows[0];
    if (!row) return { kind: "unknown-job" };
    if (options.executor !== undefined && options.executor !== row.executor) {
      return { kind: "refused", error: new TransitionError("lapsed-attempt", "another executor runs this job") };
    }
    const before = {
      state: row.state,
      attempt: row.attempt,
      errors: row.errors,
      losses: row.losses,
      cancelRequested: row.cancel_requested,
      visibleAt: row.visible_at,
      leaseExpiresAt: row.lease_expires_at,
      finishedAt: row.finished_at,
      failureReason: row.failure_reason,
    };
    const policy = {
      maxAttempts: row.max_attempts,
      maxLosses: row.max_losses,
      backoffMs: row.backoff_ms,
      backoffMaxMs: row.backoff_max_ms,
      leaseMs: row.lease_ms,
      maxWaitMs: row.max_wait_ms,
    };
    let after: ReturnType<typeof applyEvent>;
    try {
      after = applyEvent(before, event, row.now, policy);
    } catch (error) {
      if (error instanceof TransitionError) return { kind: "refused", error };
      throw error;
    }
    const finished = after.finishedAt !== null;
    const failure = options.failure;
    await transaction
      .updateTable("jobs")
      .set({
        state: after.state,
        attempt: after.attempt,
        errors: after.errors,
        losses: after.losses,
        cancel_requested: after.cancelRequested,
        visible_at: after.visibleAt,
        lease_expires_at: after.leaseExpiresAt,
        finished_at: after.finishedAt,
        failure_reason: after.failureReason,
        failure_message: finished && failure ? finalMessage(failure, after.losses) : null,
        exit_code: finished ? (failure?.exitCode ?? 1) : null,
        ...(event.kind === "retry" ? { executor: null, started_at: null } : {}),
      })
      .where("id", "=", id)
      .execute();
    const ended = before.state === "processing" && after.state !== "processing";
    if (ended) {
      await transaction
        .updateTable("attempts")
        .set({
          state: endedAs(after.state),
          finished_at: row.now,
          failure_reason: failure?.reason ?? null,
          failure_message: failure?.message ?? null,
          exit_code: failure?.exitCode ?? null,
        })
        .where("job", "=", id)
        .where("attempt", "=", row.attempt)
        .execute();
    }
    return {
      kind: "changed",
      job: {
        id,
        queue: row.queue,
        state: after.state,
        attempt: after.attempt,
        executor: row.executor,
        cancelRequested: after.cancelRequested,
        visibleInMs: after.state === "queued" ? Math.max(0, after.visibleAt.getTime() - row.now.getTime()) : 0,
        ranMs: ended && row.started_at ? Math.max(0, row.now.getTime() - row.started_at.getTime()) : null,
      },
    };
  });
}

function finalMessage(failure: NonNullable<TransitionOptions["failure"]>, losses: number): string {
  if (failure.reason !== "lease-lost" || losses < 1) return failure.message;
  return `the job lost its executor ${losses === 1 ? "once" : `${losses} times`}; the last time: ${failure.message}`;
}

/** If the job goes back to the queue, its attempt ended with an infrastructure failure. */
function endedAs(state: JobState): AttemptState {
  return state === "queued" ? "errored" : state;
}
