import { z } from "zod";

export const ExecutorView = z.object({
  name: z.string(),
  queues: z.array(z.string()),
  /** Seen within three heartbeats. */
  active: z.boolean(),
  draining: z.boolean(),
  /** Asked by the instance to drain. */
  drainRequested: z.boolean(),
  /** Speaks Airlock's extensions beside the base protocol. */
  extensions: z.boolean(),
  /** Which of them, by `executorCapabilities`; empty before its first request for a job. */
  capabilities: z.array(z.string()),
  version: z.string(),
  runtime: z.string(),
  runtimeVersion: z.string(),
  os: z.string(),
  architecture: z.string(),
  gitVersion: z.string(),
  dockerVersion: z.string(),
  slots: z.int(),
  labels: z.record(z.string(), z.string()),
  firstSeenAt: z.iso.datetime(),
  lastSeenAt: z.iso.datetime(),
  runningJobs: z.array(z.int()),
});
export type ExecutorView = z.output<typeof ExecutorView>;
export const ExecutorList = z.object({ executors: z.array(ExecutorView) });
