import { z } from "zod";
import { WireJobId } from "../primitives/primitives.ts";

/**
 * `GET events?executorName=NAME` (capability `events`): server-sent events whose `data` is one of these as JSON. The
 * stream only reduces latency: heartbeats deliver the same information.
 */
export const ExecutorEvent = z.discriminatedUnion("kind", [
  z.object({ kind: z.literal("cancel"), jobId: WireJobId, attempt: z.int().positive() }),
  /** Take no further jobs and finish the running ones. Then exit, or with `stay` wait for `resume`. */
  z.object({ kind: z.literal("drain"), stay: z.boolean().optional() }),
  /** Take jobs again. Only for executors that were told to stay. */
  z.object({ kind: z.literal("resume") }),
]);
export type ExecutorEvent = z.output<typeof ExecutorEvent>;
