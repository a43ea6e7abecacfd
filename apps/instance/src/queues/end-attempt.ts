import type { FailureReason } from "@airlock/job";
import { sql } from "kysely";
import type { Database } from "../store/database.ts";
import { executePrepared } from "../store/prepared-statements.ts";
import type { AttemptState } from "../store/schema.ts";
import { transitionJob } from "./transition-job.ts";

/** Identifies the attempt that is written to. A write has no effect unless this executor is running this attempt. */
export interface AttemptKey {
  readonly job: number;
  readonly attempt: number;
  readonly executor: string;
}

export interface Failure {
  readonly reason: FailureReason;
  readonly message: string;
  /** Exit code that the submitter sees, 0 to 255. */
  readonly exitCode: number | null;
}

/** The result of a call that ended an attempt. */
export interface EndedAttempt {
  /** Duration in ms since the attempt was handed out. */
  readonly ranMs: number;
}

const ranMs = sql`(extract(epoch from attempts.finished_at - attempts.started_at) * 1000)::float8 as "ranMs"`;

/** Returns `null` if the attempt is no longer running. */
export async function completeAttempt(db: Database, key: AttemptKey): Promise<EndedAttempt | null> {
  const { rows } = await executePrepared(
    "complete",
    sql<EndedAttempt>`
    with ended as (
      update jobs set state = 'completed', finished_at = airlock_now(), lease_expires_at = null,
        failure_reason = null, failure_message = null, exit_code = 0
      where id = ${key.job} and state = 'processing' and attempt = ${key.attempt} and executor = ${key.executor}
      returning id, attempt, finished_at
    )
    update attempts set state = 'completed', finished_at = ended.finished_at, exit_code = 0
    from ended where attempts.job = ended.id and attempts.attempt = ended.attempt
    returning ${ranMs}`,
    db,
  );
  return rows[0] ?? null;
}

/** Ends the job with its own failure, without another attempt. `null`: the attempt is no longer running. */
export async function failAttempt(db: Database, key: AttemptKey, failure: Failure): Promise<EndedAttempt | null> {
  const { rows } = await executePrepared(
    "fail",
    sql<EndedAttempt>`
    with ended as (
      update jobs set state = case when cancel_requested then 'canceled' else 'failed' end,
        finished_at = airlock_now(), lease_expires_at = null,
        failure_reason = ${failure.reason}, failure_message = ${failure.message},
        exit_code = case when cancel_requested then 1 else ${failure.exitCode ?? 1}::integer end
      where id = ${key.job} and state = 'processing' and attempt = ${key.attempt} and executor = ${key.executor}
      returning id, attempt, state, finished_at
    )
    update attempts set state = ended.state, finished_at = ended.finished_at, failure_reason = ${failure.reason},
      failure_message = ${failure.message}, exit_code = ${failure.exitCode}
    from ended where attempts.job = ended.id and attempts.attempt = ended.attempt
    returning ${ranMs}`,
    db,
  );
  return rows[0] ?? null;
}

/**
 * Ends the attempt with an infrastructure failure. The job is retried up to the queue's limit. `null`: the attempt is
 * no longer running.
 */
export async function errorAttempt(db: Database, key: AttemptKey, failure: Failure): Promise<EndedAttempt | null> {
  const result = await transitionJob(
    db,
    key.job,
    { kind: "error", attempt: key.attempt, reason: failure.reason },
    { executor: key.executor, failure },
  );
  return result.kind === "changed" ? { ranMs: result.job.ranMs ?? 0 } : null;
}

export interface AttemptEnd {
  readonly state: AttemptState;
  readonly failureReason: FailureReason | null;
}

/** How an attempt ended. Distinguishes a repeated report from one of a lapsed attempt. */
export async function attemptEnd(db: Database, key: AttemptKey): Promise<AttemptEnd | null> {
  const row = await db
    .selectFrom("attempts")
    .select(["state", "failure_reason"])
    .where("job", "=", key.job)
    .where("attempt", "=", key.attempt)
    .where("executor", "=", key.executor)
    .executeTakeFirst();
  return row ? { state: row.state, failureReason: row.failure_reason } : null;
}
