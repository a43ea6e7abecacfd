import type { StepResult } from "@airlock/api";
import { isFinished, type JobState } from "@airlock/job";
import type { LogEntryRow } from "../logs/read-log.ts";
import type { AttemptKey } from "../queues/end-attempt.ts";
import type { Database } from "../store/database.ts";

/** Keeps what the executor says of the steps of a running attempt, just before it reports its end. */
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
 * How each step of an attempt stands, in the job's order. Pure. What the executor reported counts; while it runs, and of
 * executors that report nothing, the log entries tell: `step.RUNTIME.KEY`.
 */
export function stepResults(
  keys: readonly string[],
  attempt: { readonly reported: readonly StepResult[] | null; readonly entries: readonly LogEntryRow[] },
  jobState: JobState,
): StepResult[] {
  const over = isFinished(jobState);
  const reported = new Map(attempt.reported?.map((step) => [step.key, step]));
  const logged = new Map(attempt.entries.map((entry) => [/^step\.[^.]+\.(.+)$/.exec(entry.key)?.[1], entry]));
  return keys.map((key): StepResult => {
    const said = reported.get(key);
    if (said) return said;
    const entry = logged.get(key);
    if (!entry) return { key, state: over ? "skipped" : "pending", exitCode: null, durationMs: null };
    const { exitCode, durationMs } = entry;
    // Without an end it runs, or its executor was lost in the middle of it.
    if (exitCode === null) return { key, state: over ? "failed" : "running", exitCode, durationMs };
    // -1: killed, there is no code.
    return {
      key,
      state: exitCode === 0 ? "succeeded" : "failed",
      exitCode: exitCode < 0 ? null : exitCode,
      durationMs,
    };
  });
}
