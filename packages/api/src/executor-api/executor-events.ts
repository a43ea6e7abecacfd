import { z } from "zod";
import { WireJobId } from "../primitives/primitives.ts";

/**
 * `GET events?executorName=NAME` (capability `events`): server-sent events, `data` being one of these as JSON. The
 * stream only makes things quicker: heartbeats bring the same news.
 */
export const ExecutorEvent = z.discriminatedUnion("kind", [
  z.object({ kind: z.literal("cancel"), jobId: WireJobId, attempt: z.int().positive() }),
  /** Take no further jobs, let the running ones end, then leave. */
  z.object({ kind: z.literal("drain") }),
]);
export type ExecutorEvent = z.output<typeof ExecutorEvent>;
