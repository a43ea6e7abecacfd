import type { AttemptKey } from "../queues/end-attempt.ts";
import type { Database } from "../store/database.ts";

/** The exit code of `docker run` when docker itself failed. A script may use it, too. */
const dockerFailed = 125;

/**
 * Exit code of the attempt's step that failed, by its log. `null`: no step did. A step that a signal ended has no exit
 * code: its executor was stopped, or stopped it. A step that docker failed to run did not fail either.
 */
export async function failedStepExitCode(db: Database, key: AttemptKey): Promise<number | null> {
  const entry = await db
    .selectFrom("log_entries")
    .select(["entry_id", "exit_code"])
    .where("job", "=", key.job)
    .where("attempt", "=", key.attempt)
    .where("key", "like", "step.%")
    .where("exit_code", ">", 0)
    .orderBy("entry_id", "desc")
    .limit(1)
    .executeTakeFirst();
  if (!entry?.exit_code) return null;
  if (entry.exit_code === dockerFailed && (await dockerSaysSo(db, key, entry.entry_id))) return null;
  return entry.exit_code;
}

/** Whether the end of the entry's output has a message of the docker command, such as that it found no daemon. */
async function dockerSaysSo(db: Database, key: AttemptKey, entryId: number): Promise<boolean> {
  const chunks = await db
    .selectFrom("log_chunks")
    .select("bytes")
    .where("job", "=", key.job)
    .where("attempt", "=", key.attempt)
    .where("entry_id", "=", entryId)
    .where("stream", "=", "stderr")
    .orderBy("offset", "desc")
    .limit(4)
    .execute();
  return /^docker: /m.test(Buffer.concat(chunks.map(({ bytes }) => bytes).reverse()).toString());
}
