import { z } from "zod";
import { ExecutorName, WireJobId } from "./primitives.ts";

const entryFields = {
  executorName: ExecutorName,
  jobId: WireJobId,
  key: z.string().min(1).max(1000),
  command: z
    .array(z.string())
    .nullish()
    .transform((words) => words ?? []),
  startTime: z.iso.datetime({ offset: true }),
  exitCode: z.int().nullish(),
  /** Every line begins with `stdout: ` or `stderr: `. */
  out: z.string().nullish(),
  durationMs: z.int().nonnegative().nullish(),
};

/** `POST queue/{queue}/addExecutionLogEntry`; the answer is a bare integer, the entry's position from 1. */
export const AddLogEntryRequest = z.object(entryFields);
export type AddLogEntryRequest = z.input<typeof AddLogEntryRequest>;

/** `POST queue/{queue}/updateExecutionLogEntry`: the whole entry again, as far as it has grown. */
export const UpdateLogEntryRequest = z.object({ ...entryFields, entryId: z.int().positive() });
export type UpdateLogEntryRequest = z.input<typeof UpdateLogEntryRequest>;
