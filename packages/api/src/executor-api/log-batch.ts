import type { ErrorCode } from "@airlock/job";
import { z } from "zod";
import { ExecutorName, ExitCode, Ordinal, WireJobId } from "../primitives/primitives.ts";
import { LoggedCommand, MendedText, StoredText } from "../primitives/stored-text.ts";

/** The most bytes of output that one chunk carries, before base64. */
export const maxChunkBytes = 256 * 1024;

/** The most UTF-16 code units of one note. */
export const maxNoteLength = 8192;
/** The most notes of one attempt, and the most bytes of UTF-8 of all of them together. */
export const maxNotesPerAttempt = 5000;
export const maxNoteBytesPerAttempt = 1024 * 1024;

/** In one pass; a check that decodes the text as well costs as much as storing what is in it. */
function isBase64(text: string): boolean {
  return text.length % 4 === 0 && /^[A-Za-z0-9+/]*={0,2}$/.test(text);
}

/**
 * One append to the log of an attempt. Sending it again changes nothing: entries and offsets say where it belongs.
 * - `open` makes entry `entryId` (1-based, in the order of start).
 * - `chunk` puts bytes at `offset` of the entry; offsets count bytes over both streams, from 0 without gaps.
 * - `note` is a message of the executor itself, such as "killed: out of memory". It is not part of the output and takes
 *   no bytes of it. `noteId` counts the notes of the entry from 1; `offset` is the output that precedes the note.
 * - `close` ends the entry. `exitCode` -1: killed by a signal.
 */
export const LogEvent = z.discriminatedUnion("kind", [
  z.object({
    kind: z.literal("open"),
    entryId: Ordinal,
    key: StoredText.min(1).max(1000),
    command: LoggedCommand,
    startTime: z.iso.datetime({ offset: true }),
  }),
  z.object({
    kind: z.literal("chunk"),
    entryId: Ordinal,
    offset: z.int().nonnegative(),
    stream: z.enum(["stdout", "stderr"]),
    /** base64 of 1…`maxChunkBytes` bytes. */
    data: z
      .string()
      .min(4)
      .max(Math.ceil(maxChunkBytes / 3) * 4)
      .refine(isBase64, "must be base64"),
  }),
  z.object({
    kind: z.literal("note"),
    entryId: Ordinal,
    noteId: Ordinal,
    offset: z.int().nonnegative(),
    text: MendedText.pipe(z.string().min(1).max(maxNoteLength)),
  }),
  z.object({
    kind: z.literal("close"),
    entryId: Ordinal,
    exitCode: ExitCode,
    durationMs: z.int().nonnegative(),
  }),
]);
export type LogEvent = z.output<typeof LogEvent>;

/** `POST queue/{queue}/logs` (capability `log-batch`). Answers 204; 409 names the offset that the entry ends at. */
export const LogBatchRequest = z.object({
  executorName: ExecutorName,
  jobId: WireJobId,
  attempt: Ordinal,
  events: z.array(LogEvent).min(1).max(1000),
});
export type LogBatchRequest = z.input<typeof LogBatchRequest>;

/**
 * Body of a 409. `log-conflict`: the batch does not continue the log, nothing of it was stored from the failing event
 * on. `lapsed-attempt`: the attempt is not the running one, nothing was stored; entry and offset say nothing then.
 */
export const LogConflict = z.object({
  code: z.enum(["log-conflict", "lapsed-attempt"] satisfies ErrorCode[]).default("log-conflict"),
  error: z.string(),
  entryId: z.int(),
  expectedOffset: z.int(),
});
