import { maximumDurationMs } from "@airlock/job";
import { z } from "zod";
import { QueueName } from "../primitives/primitives.ts";

export const QueueView = z.object({
  name: z.string(),
  queued: z.int(),
  processing: z.int(),
  /** Age of the oldest queued job in ms; `null` if none is queued. */
  oldestQueuedMs: z.int().nullable(),
  maxAttempts: z.int(),
  /** How many attempts may lose their executor. */
  maxLosses: z.int(),
  backoffMs: z.int(),
  backoffMaxMs: z.int(),
  leaseMs: z.int(),
  heartbeatIntervalMs: z.int(),
  /** Limit on running jobs; `null`: no limit. */
  concurrencyLimit: z.int().nullable(),
  /** Limit on running jobs of one namespace; `null`: no limit. */
  namespaceConcurrencyLimit: z.int().nullable(),
  /** Share relative to the other queues of an executor that serves several. */
  weight: z.int(),
  /** Maximum bytes of output kept of one attempt. */
  maxLogBytes: z.int(),
  /**
   * Whether executors without Airlock's extensions also get jobs whose egress, timeout, resources, checkout, outputs or
   * diff they ignore.
   */
  allowUnenforced: z.boolean().default(false),
  /** How long a job may wait for an executor, in ms; `null`: forever. */
  maxWaitMs: z.int().nullable(),
});
export type QueueView = z.output<typeof QueueView>;
export const QueueList = z.object({ queues: z.array(QueueView) });

const Limit = z.int().min(1).max(1_000_000).nullable();

const settings = {
  /** How many attempts may end by Airlock's fault. */
  maxAttempts: z.int().min(1).max(100),
  /** How many attempts may lose their executor. Limited because the job may be what kills executors. */
  maxLosses: z.int().min(1).max(100),
  /** Wait before the next attempt after one that ended by Airlock's fault. Doubled each time, up to `backoffMaxMs`. */
  backoffMs: z.int().min(0).max(86_400_000),
  backoffMaxMs: z.int().min(0).max(86_400_000),
  /** How long an attempt stays valid without a heartbeat. */
  leaseMs: z.int().min(2000).max(3_600_000),
  /** How often executors send heartbeats. They send at least three per lease. */
  heartbeatIntervalMs: z.int().min(100).max(600_000),
  concurrencyLimit: Limit,
  namespaceConcurrencyLimit: Limit,
  weight: z.int().min(1).max(1000),
  maxLogBytes: z
    .int()
    .min(1024)
    .max(2 ** 40),
  /** Whether executors get jobs that ask for more than they support. Off, such a job waits for one that does. */
  allowUnenforced: z.boolean(),
  /**
   * How long a job may wait for an executor, in ms. A job that no executor took by then fails with `queue-timeout`. The
   * time starts anew with each attempt, and without a back-off. `null`: forever.
   */
  maxWaitMs: z.int().min(1000).max(maximumDurationMs).nullable(),
};

export const CreateQueueRequest = z.strictObject({
  name: QueueName,
  maxAttempts: settings.maxAttempts.default(3),
  maxLosses: settings.maxLosses.default(3),
  backoffMs: settings.backoffMs.default(5000),
  backoffMaxMs: settings.backoffMaxMs.default(300_000),
  leaseMs: settings.leaseMs.default(15_000),
  heartbeatIntervalMs: settings.heartbeatIntervalMs.default(5000),
  concurrencyLimit: settings.concurrencyLimit.default(null),
  namespaceConcurrencyLimit: settings.namespaceConcurrencyLimit.default(null),
  weight: settings.weight.default(1),
  maxLogBytes: settings.maxLogBytes.default(256 * 1024 * 1024),
  allowUnenforced: settings.allowUnenforced.default(false),
  maxWaitMs: settings.maxWaitMs.default(null),
});
export type CreateQueueRequest = z.input<typeof CreateQueueRequest>;

/** `PATCH /api/v1/queues/{name}`. Absent settings stay unchanged. */
export const UpdateQueueRequest = z.strictObject(settings).partial();
export type UpdateQueueRequest = z.input<typeof UpdateQueueRequest>;
