import type { ErrorCode } from "@airlock/job";
import { z } from "zod";
import { ExecutorName, ExitCode, Ordinal, WireJobId } from "../primitives/primitives.ts";
import { LoggedCommand, PlainText, StorableText } from "../primitives/stored-text.ts";

/** Maximum bytes of output in one chunk, before base64. */
export const maxChunkBytes = 256 * 1024;

/** Maximum length of one note in UTF-16 code units. */
export const maxNoteLength = 8192;
/** Maximum number of notes of one attempt, and their maximum total size in bytes of UTF-8. */
export const maxNotesPerAttempt = 5000;
export const maxNoteBytesPerAttempt = 1024 * 1024;

/** Checks in one pass. Decoding the text as well would cost as much as storing its content. */
function isBase64(text: string): boolean {
  return text.length % 4 === 0 && /^[A-Za-z0-9+/]*={0,2}$/.test(text);
}

/**
 * One addition to the log of an attempt. Repeating it changes nothing, because entry ids and offsets say where it
 * belongs.
 * - `open` creates the entry `entryId` (from 1, in order of start).
 * - `chunk` puts bytes at `offset` of the entry. Offsets count the bytes of both streams, from 0 without gaps.
 * - `note` is a message of the executor itself, such as "killed: out of memory". It is not part of the output. `noteId`
 *   counts the notes of the entry from 1; `offset` is the length of the output before the note.
 * - `close` ends the entry. `exitCode` -1: killed by a signal.
 */
export const LogEvent = z.discriminatedUnion("kind", [
  z.object({
    kind: z.literal("open"),
    entryId: Ordinal,
    key: PlainText.min(1).max(1000),
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
    text: StorableText.pipe(z.string().min(1).max(maxNoteLength)),
  }),
  z.object({
    kind: z.literal("close"),
    entryId: Ordinal,
    exitCode: ExitCode,
    durationMs: z.int().nonnegative(),
  }),
]);
export type LogEvent = z.output<typeof LogEvent>;

/** `POST queue/{queue}/logs` (capability `log-batch`). Responses: 204; 409 with the offset at which the entry ends. */
export const LogBatchRequest = z.object({
  executorName: ExecutorName,
  jobId: WireJobId,
  attempt: Ordinal,
  events: z.array(LogEvent).min(1).max(1000),
});
export type LogBatchRequest = z.input<typeof LogBatchRequest>;

/**
 * Body of a 409.
 * - `log-conflict`: the batch does not continue the log. Nothing from the failing event on was stored.
 * - `lapsed-attempt`: the attempt is not the running one. Nothing was stored; entry and offset are meaningless.
 */
export const LogConflict = z.object({
  code: z.enum(["log-conflict", "lapsed-attempt"] satisfies ErrorCode[]).default("log-conflict"),
  error: z.string(),
  entryId: z.int(),
  expectedOffset: z.int(),
});
