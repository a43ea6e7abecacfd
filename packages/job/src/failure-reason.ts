/**
 * Why an attempt did not complete. Failures of the job itself are final. Failures of Airlock and its environment are
 * retried up to the queue's limits.
 */
export const failureReasons = [
  /** A step exited with a code other than 0, or was killed by a signal that it provoked. */
  "step-failed",
  /** A step was killed because the job used more memory than its limit. */
  "out-of-memory",
  /** The job or a step ran longer than its timeout. */
  "timeout",
  /** The repository, the revision or a path in it does not exist or breaks a rule of the workspace. */
  "checkout-invalid",
  /** The image does not exist, is not allowed, or has no `/bin/sh`. */
  "image-invalid",
  /** A secret that a step names does not exist any more, or can't be given to it. */
  "secret-unavailable",
  /** The job asks for something that this executor's administrator does not allow or that it can't enforce. */
  "policy",
  /** No executor took the job within its queue's maximum waiting time. */
  "queue-timeout",
  /** Fetching the repository failed for a temporary reason: the instance, the network, the code host. */
  "checkout-unavailable",
  /** Pulling the image failed for a temporary reason: the registry, the network. */
  "image-unavailable",
  /** The sandbox technology failed: no engine, disk full, out of loop devices. */
  "runtime",
  /** Heartbeats stopped: the executor died, or could not reach the instance. */
  "lease-lost",
  /** The executor was told to stop, and handed the job back. */
  "executor-shutdown",
  /** A bug in Airlock. */
  "internal",
] as const;

export type FailureReason = (typeof failureReasons)[number];

const retryable: ReadonlySet<FailureReason> = new Set<FailureReason>([
  "checkout-unavailable",
  "image-unavailable",
  "runtime",
  "lease-lost",
  "executor-shutdown",
  "internal",
]);

/** Whether another attempt may succeed without changes by a person. */
export function isRetryable(reason: FailureReason): boolean {
  return retryable.has(reason);
}
