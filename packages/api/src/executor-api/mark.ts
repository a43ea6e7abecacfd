import { failureReasons } from "@airlock/job";
import { z } from "zod";
import { StepResult } from "../job/results.ts";
import { ExecutorName, Ordinal, WireJobId } from "../primitives/primitives.ts";
import { MessageText } from "../primitives/stored-text.ts";

const fields = {
  executorName: ExecutorName,
  jobId: WireJobId,
  /** Airlock's extension: the attempt that ended. Absent: the running one, if the executor owns it. */
  attempt: Ordinal.optional(),
  /** Airlock's extension (capability `results`): the result of every step of the job, in order. */
  steps: z.array(StepResult).max(1000).optional(),
};

export const MarkCompleteRequest = z.object(fields);
export type MarkCompleteRequest = z.input<typeof MarkCompleteRequest>;

/** `markErrored` (not the job's fault, may be retried) and `markFailed` (the job's fault, final). */
export const MarkErrorRequest = z.object({
  ...fields,
  errorMessage: MessageText.default(""),
  /** Airlock's extension. Defaults: `internal` for errored, `step-failed` for failed. */
  reason: z.enum(failureReasons).optional(),
  /** Airlock's extension: the exit code to show the job's submitter, 0…255. */
  exitCode: z.int().min(0).max(255).optional(),
});
export type MarkErrorRequest = z.input<typeof MarkErrorRequest>;
