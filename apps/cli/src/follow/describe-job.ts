import { type JobSummary, type JobView, type LogEntryView, stepIndexes, stepNameOf } from "@airlock/api";
import { formatDuration } from "@airlock/job";
import { plainText } from "@airlock/terminal-text";

/** How long the job took from its start to its end, or until `now` if it runs. `undefined` if it never started. */
export function jobDurationMs(job: JobSummary, now: Date): number | undefined {
  if (job.startedAt === null) return undefined;
  const end = job.finishedAt === null ? now.getTime() : Date.parse(job.finishedAt);
  return Math.max(0, end - Date.parse(job.startedAt));
}

/** The job's end in one line, with a mark: `✔ job 7 completed in 3.2s`, `✖ job 7 failed: step "main" exited with 3`. */
export function describeEnd(job: JobView): { readonly good: boolean; readonly text: string } {
  const took = jobDurationMs(job, new Date());
  const why = job.failureMessage ?? job.failureReason;
  const because = why ? `: ${plainText(why)}` : "";
  switch (job.state) {
    case "completed":
      return {
        good: true,
        text: `✔ job ${job.id} completed${took === undefined ? "" : ` in ${formatDuration(took)}`}`,
      };
    case "failed":
    case "errored":
      return { good: false, text: `✖ job ${job.id} ${job.state}${because}` };
    case "canceled":
      return { good: false, text: `✖ job ${job.id} was canceled` };
    default:
      return { good: false, text: `job ${job.id} is ${job.state}` };
  }
}

/**
 * The key of the step that an entry belongs to: `step.docker.test` → `test`. `undefined` for setup and teardown.
 * @param stepKeys Keys of the job's steps, in order.
 * @param attempt The entries of the same attempt so far, in order.
 */
export function stepKeyOf(
  entry: LogEntryView,
  stepKeys: readonly string[],
  attempt: readonly LogEntryView[],
): string | undefined {
  const indexes = stepIndexes(
    stepKeys,
    attempt.map(({ key }) => key),
  );
  const index = indexes[attempt.findIndex(({ entryId }) => entryId === entry.entryId)];
  return (index === undefined ? undefined : stepKeys[index]) ?? stepNameOf(entry.key);
}

/** The exit code for commands that wait for the job: that of the job, else 0 if it completed, else 1. */
export function jobExitCode(job: JobView): number {
  return job.exitCode ?? (job.state === "completed" ? 0 : 1);
}
