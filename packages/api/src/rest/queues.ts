import { z } from "zod";
import { QueueName } from "../executor-api/primitives.ts";

export const QueueView = z.object({
  name: z.string(),
  queued: z.int(),
  processing: z.int(),
  /** Age of the oldest queued job in ms; `null` when none waits. */
  oldestQueuedMs: z.int().nullable(),
  maxAttempts: z.int(),
  leaseMs: z.int(),
});
export type QueueView = z.output<typeof QueueView>;
export const QueueList = z.object({ queues: z.array(QueueView) });

export const CreateQueueRequest = z.strictObject({
  name: QueueName,
  /** How many attempts may end by our fault. */
  maxAttempts: z.int().min(1).max(100).default(3),
  /** How long an attempt lives without a heartbeat. */
  leaseMs: z.int().min(2000).max(3_600_000).default(15_000),
});
export type CreateQueueRequest = z.input<typeof CreateQueueRequest>;
