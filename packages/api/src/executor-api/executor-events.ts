import { z } from "zod";
import { WireJobId } from "../primitives/primitives.ts";

/**
 * `GET events?executorName=NAME` (capability `events`): server-sent events whose `data` is one of these as JSON. The
 * stream only reduces latency: heartbeats deliver the same information.
 */
export const ExecutorEvent = z.discriminatedUnion("kind", [
  z.object({ kind: z.literal("cancel"), jobId: WireJobId, attempt: z.int().positive() }),
  /** Take no further jobs, finish the running ones, then exit. */
  z.object({ kind: z.literal("drain") }),
]);
export type ExecutorEvent = z.output<typeof ExecutorEvent>;
