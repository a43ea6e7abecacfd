import type { AttemptKey } from "../queues/end-attempt.ts";
import type { Database } from "../store/database.ts";

/**
 * Exit code of the attempt's step that failed, by its log. `null`: no step did. A step that a signal ended has no exit
 * code: its executor was stopped, or stopped it.
 */
export async function failedStepExitCode(db: Database, key: AttemptKey): Promise<number | null> {
  const row = await db
    .selectFrom("log_entries")
    .select("exit_code")
    .where("job", "=", key.job)
    .where("attempt", "=", key.attempt)
    .where("key", "like", "step.%")
    .where("exit_code", ">", 0)
    .orderBy("entry_id", "desc")
    .limit(1)
    .executeTakeFirst();
  return row?.exit_code ?? null;
}
