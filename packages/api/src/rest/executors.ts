import { z } from "zod";

export const ExecutorView = z.object({
  name: z.string(),
  queues: z.array(z.string()),
  /** Whether the instance heard from it within the last 15 s. */
  active: z.boolean(),
  /** The executor takes no further jobs, or the instance gives it none. */
  draining: z.boolean(),
  /** The instance asked the executor to drain. */
  drainRequested: z.boolean(),
  /** Whether the drain can be undone: the executor stays, and only the instance's request keeps it from jobs. */
  resumable: z.boolean(),
  /** Whether the executor supports Airlock's extensions of the base protocol. */
  extensions: z.boolean(),
  /** Those of `executorCapabilities` that the executor supports. Empty before its first dequeue. */
  capabilities: z.array(z.string()),
  version: z.string(),
  runtime: z.string(),
  runtimeVersion: z.string(),
  os: z.string(),
  architecture: z.string(),
  gitVersion: z.string(),
  dockerVersion: z.string(),
  /** `null`: the executor does not report it. */
  slots: z.int().nullable(),
  labels: z.record(z.string(), z.string()),
  firstSeenAt: z.iso.datetime(),
  lastSeenAt: z.iso.datetime(),
  runningJobs: z.array(z.int()),
});
export type ExecutorView = z.output<typeof ExecutorView>;
export const ExecutorList = z.object({ executors: z.array(ExecutorView) });
