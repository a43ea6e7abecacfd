import type { ExecutorCapability, JobPayload } from "@airlock/api";

/** A job that this executor holds. */
export interface DequeuedJob {
  readonly payload: JobPayload;
  /** The payload's queue, or the only one that we take jobs from. */
  readonly queue: string;
  readonly key: string;
}

/** Ids are unique within a queue only. */
export function jobKey(queue: string, id: number): string {
  return `${queue}/${id}`;
}

/** Whether the instance that handed the job out knows an extension. */
export function instanceKnows({ payload }: DequeuedJob, capability: ExecutorCapability): boolean {
  return payload.airlock?.capabilities.includes(capability) ?? false;
}

/** Names one attempt, and what makes requests about it acceptable. */
export interface HeldAttempt {
  /** The name under which the executor took it. */
  readonly executorName: string;
  readonly queue: string;
  readonly id: number;
  readonly attempt: number;
  readonly token: string;
}
