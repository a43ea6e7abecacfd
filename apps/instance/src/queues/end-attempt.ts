import type { FailureReason } from "@airlock/job";
import { sql } from "kysely";
import type { Database } from "../store/database.ts";
import { executePrepared } from "../store/prepared-statements.ts";
import type { AttemptState } from "../store/schema.ts";
import { transitionJob } from "./transition-job.ts";

/** Who writes: a write of any other attempt or executor than the running one has no effect. */
export interface AttemptKey {
  readonly job: number;
  readonly attempt: number;
  readonly executor: string;
}

export interface Failure {
  readonly reason: FailureReason;
  readonly message: string;
  /** 0…255, what the submitter sees. */
  readonly exitCode: number | null;
}

/** An attempt that this call ended. */
export interface EndedAttempt {
  /** From when it was handed out. */
  readonly ranMs: number;
}

const ranMs = sql`(extract(epoch from attempts.finished_at - attempts.started_at) * 1000)::float8 as "ranMs"`;

/** `null`: the attempt is not the running one. */
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

/** The job's own failure: final. `null`: the attempt is not the running one. */
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

/** Our failure: tried again up to the queue's limit. `null`: the attempt is not the running one. */
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

/** How an attempt ended, so that a repeated report can be told from a lapsed one. */
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
