import { z } from "zod";
import { ExecutorName, ExitCode, Ordinal, WireJobId } from "../primitives/primitives.ts";
import { LoggedCommand, PlainText } from "../primitives/stored-text.ts";

const entryFields = {
  executorName: ExecutorName,
  jobId: WireJobId,
  key: PlainText.min(1).max(1000),
  command: LoggedCommand.nullish().transform((words) => words ?? []),
  startTime: z.iso.datetime({ offset: true }),
  exitCode: ExitCode.nullish(),
  /** Every line starts with `stdout: ` or `stderr: `. */
  out: z.string().nullish(),
  durationMs: z.int().nonnegative().nullish(),
};

/** `POST queue/{queue}/addExecutionLogEntry`. The response is a bare integer: the entry's position from 1. */
export const AddLogEntryRequest = z.object(entryFields);
export type AddLogEntryRequest = z.input<typeof AddLogEntryRequest>;

/** `POST queue/{queue}/updateExecutionLogEntry`: resends the whole entry every time it grows. */
export const UpdateLogEntryRequest = z.object({ ...entryFields, entryId: Ordinal });
export type UpdateLogEntryRequest = z.input<typeof UpdateLogEntryRequest>;
