import { type StepResult, stepIndexes } from "@airlock/api";
import { isFinished, type JobState } from "@airlock/job";
import type { LogEntryRow } from "../logs/read-log.ts";
import type { AttemptKey } from "../queues/end-attempt.ts";
import type { Database } from "../store/database.ts";

/** Stores the step results that the executor reports just before the end of a running attempt. */
export async function storeStepResults(db: Database, key: AttemptKey, steps: readonly StepResult[]): Promise<void> {
  await db
    .updateTable("attempts")
    .set({ steps: JSON.stringify(steps) })
    .where("job", "=", key.job)
    .where("attempt", "=", key.attempt)
    .where("executor", "=", key.executor)
    .where("state", "=", "processing")
    .execute();
}

/**
 * The state of each step of an attempt, in the job's order. Pure. Uses the executor's report. While the attempt runs,
 * or without a report, uses the log entries.
 */
export function stepResults(
  keys: readonly string[],
  attempt: { readonly reported: readonly StepResult[] | null; readonly entries: readonly LogEntryRow[] },
  jobState: JobState,
): StepResult[] {
  const over = isFinished(jobState);
  const reported = new Map(attempt.reported?.map((step) => [step.key, step]));
  const indexes = stepIndexes(
    keys,
    attempt.entries.map(({ key }) => key),
  );
  const logged = new Map(attempt.entries.map((entry, position) => [indexes[position], entry]));
  return keys.map((key, index): StepResult => {
    const said = reported.get(key);
    if (said) return said;
    const entry = logged.get(index);
    if (!entry) return { key, state: over ? "skipped" : "pending", exitCode: null, durationMs: null };
    const { exitCode, durationMs } = entry;
    // Without an exit code, the step is running, or its executor was lost.
    if (exitCode === null) return { key, state: over ? "failed" : "running", exitCode, durationMs };
    // -1: the step was killed and has no exit code.
    return {
      key,
      state: exitCode === 0 ? "succeeded" : "failed",
      exitCode: exitCode < 0 ? null : exitCode,
      durationMs,
    };
  });
}
