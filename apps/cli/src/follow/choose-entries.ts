import type { JobView, LogEntryView } from "@airlock/api";
import { closestWord } from "@airlock/job";
import { UsageError } from "../context/command-error.ts";
import { stepKeyOf } from "./describe-job.ts";

export interface EntrySelection {
  /** Default: the last attempt that has log entries. */
  readonly attempt?: number | undefined;
  /** Only entries of the step with this key. */
  readonly step?: string | undefined;
  /** Only entries that ended with another exit code than 0, also those of setup and teardown. */
  readonly failed?: boolean | undefined;
}

/**
 * The log entries of one attempt that the options choose, in order.
 * @throws {UsageError} if the job has no such step.
 */
export function chooseEntries(job: JobView, { attempt, step, failed }: EntrySelection): readonly LogEntryView[] {
  if (step !== undefined && !job.stepKeys.includes(step)) {
    const meant = closestWord(step, job.stepKeys);
    const did = meant === undefined ? "" : `; did you mean "${meant}"?`;
    throw new UsageError(`job ${job.id} has no step "${step}"${did}`, `Its steps are ${job.stepKeys.join(", ")}.`);
  }
  const chosen = attempt ?? Math.max(...job.entries.map((entry) => entry.attempt));
  const entries = job.entries.filter((entry) => entry.attempt === chosen);
  return entries.filter(
    (entry) =>
      (step === undefined || stepKeyOf(entry, job.stepKeys, entries) === step) &&
      (!failed || (entry.exitCode !== null && entry.exitCode !== 0)),
  );
}
