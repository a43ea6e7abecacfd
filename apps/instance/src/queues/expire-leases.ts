import { sql } from "kysely";
import type { Database } from "../store/database.ts";
import { type TransitionedJob, transitionJob } from "./transition-job.ts";

/** Ends attempts whose lease has lapsed. Their jobs go back to the queue or end. At most 200 per call. */
export async function expireLeases(db: Database): Promise<TransitionedJob[]> {
  const { rows } = await sql<{ id: number; executor: string }>`
    select id, executor from jobs
    where state = 'processing' and lease_expires_at <= airlock_now()
    order by lease_expires_at limit 200`.execute(db);
  const expired: TransitionedJob[] = [];
  for (const row of rows) {
    // transitionJob checks the lease again under a lock: a heartbeat or another instance may have been faster.
    const failure = {
      reason: "lease-lost" as const,
      message: `executor ${row.executor} stopped sending heartbeats`,
      exitCode: null,
    };
    const result = await transitionJob(db, row.id, { kind: "expire" }, { failure });
    if (result.kind === "changed") expired.push(result.job);
  }
  return expired;
}

/**
 * Deletes the tokens of attempts that ended 10 minutes ago. Until then, they identify repeated reports. They grant no
 * access, since every use checks the attempt's state.
 */
export async function deleteSpentTokens(db: Database): Promise<void> {
  await sql`
    delete from job_tokens using attempts
    where attempts.job = job_tokens.job and attempts.attempt = job_tokens.attempt
      and attempts.finished_at < airlock_now() - interval '10 minutes'`.execute(db);
}
