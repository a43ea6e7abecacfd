import type { ExecutorCapability, JobPayload } from "@airlock/api";

/** A job that this executor holds. */
export interface DequeuedJob {
  readonly payload: JobPayload;
  /** The payload's queue, or the only queue that this executor takes jobs from. */
  readonly queue: string;
  readonly key: string;
}

/** Includes the queue, because ids are unique only within a queue. */
export function jobKey(queue: string, id: number): string {
  return `${queue}/${id}`;
}

/** Whether the instance that handed out the job supports an extension. */
export function instanceKnows({ payload }: DequeuedJob, capability: ExecutorCapability): boolean {
  return payload.airlock?.capabilities.includes(capability) ?? false;
}

/** Identifies one attempt, and has what authorizes requests about it. */
export interface HeldAttempt {
  /** The name under which the executor took the job. */
  readonly executorName: string;
  readonly queue: string;
  readonly id: number;
  readonly attempt: number;
  readonly token: string;
}
