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
