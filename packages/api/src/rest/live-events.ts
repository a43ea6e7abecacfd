import { z } from "zod";
import { ExecutorView } from "./executors.ts";
import { JobSummary, JobView, LogEntryView } from "./jobs.ts";

/**
 * `GET /api/v1/jobs/{id}/events`: server-sent events. The stream starts with the job, its entries and all output so
 * far, continues live, and ends after `end`. The SSE `id` of a chunk is `attempt.entryId.offset`.
 */
export const JobLiveEvent = z.discriminatedUnion("kind", [
  z.object({ kind: z.literal("job"), job: JobView }),
  z.object({ kind: z.literal("entry"), entry: LogEntryView }),
  z.object({
    kind: z.literal("chunk"),
    attempt: z.int(),
    entryId: z.int(),
    /** Byte offset in the entry. */
    offset: z.int(),
    stream: z.enum(["stdout", "stderr"]),
    /** base64: a chunk may end inside a character. */
    data: z.base64(),
    /** When the instance received the chunk. Missing if it was stored by a version that did not keep the time. */
    receivedAt: z.iso.datetime().optional(),
  }),
  /** A message of the executor itself, placed after the first `offset` bytes of the entry's output. */
  z.object({
    kind: z.literal("note"),
    attempt: z.int(),
    entryId: z.int(),
    /** Starts at 1 in each entry. A note may be repeated after a reconnection. */
    noteId: z.int(),
    offset: z.int(),
    text: z.string(),
  }),
  /** The job has ended and everything was sent. */
  z.object({ kind: z.literal("end") }),
]);
export type JobLiveEvent = z.output<typeof JobLiveEvent>;

/**
 * `GET /api/v1/events`: server-sent events about everything that the lists show. The stream has no initial state, so
 * fetch the lists first.
 */
export const ListLiveEvent = z.discriminatedUnion("kind", [
  z.object({ kind: z.literal("job"), job: JobSummary }),
  z.object({ kind: z.literal("executor"), executor: ExecutorView }),
]);
export type ListLiveEvent = z.output<typeof ListLiveEvent>;
