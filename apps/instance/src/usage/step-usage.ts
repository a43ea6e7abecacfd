import type { JobUsage, StepUsage } from "@airlock/api";
import { sql } from "kysely";
import type { AttemptKey } from "../queues/end-attempt.ts";
import type { Database } from "../store/database.ts";

/** Stores what a step used so far, in place of an earlier report. `false`: the attempt is not running. */
export async function storeStepUsage(db: Database, key: AttemptKey, usage: StepUsage): Promise<boolean> {
  const { step, ...rest } = usage;
  const { numAffectedRows } = await sql`
    insert into step_usage (job, attempt, step, usage)
    select job, attempt, ${step}, ${JSON.stringify(rest)}::jsonb from attempts
    where job = ${key.job} and attempt = ${key.attempt} and executor = ${key.executor} and state = 'processing'
    on conflict (job, attempt, step) do update set usage = excluded.usage
  `.execute(db);
  return numAffectedRows === 1n;
}

/** 0: no attempt has begun. */
export async function lastAttemptOf(db: Database, job: number): Promise<number> {
  const row = await db.selectFrom("jobs").select("attempt").where("id", "=", job).executeTakeFirst();
  return row?.attempt ?? 0;
}

/** The steps of an attempt that reported their use, in the job's order. */
export async function readUsage(db: Database, job: number, attempt: number): Promise<JobUsage> {
  const rows = await db
    .selectFrom("step_usage")
    .select(["step", "usage"])
    .where("job", "=", job)
    .where("attempt", "=", attempt)
    .orderBy("step")
    .execute();
  return { attempt, steps: rows.map(({ step, usage }) => ({ ...usage, step })) };
}
