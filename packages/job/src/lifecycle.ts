import { assertNever } from "./assert-never.ts";
import { type FailureReason, isRetryable } from "./failure-reason.ts";

export const jobStates = ["queued", "processing", "completed", "errored", "failed", "canceled"] as const;

/**
 * `errored`: not the job's fault, and no attempts left. `failed`: the job's fault. After an error with attempts left,
 * the job goes back to `queued`.
 */
export type JobState = (typeof jobStates)[number];

export interface JobLifecycle {
  readonly state: JobState;
  /** The running or last attempt; 0 before the first. Attempts count from 1 and never decrease. */
  readonly attempt: number;
  /**
   * Number of attempts that ended by Airlock's fault, limited by the policy's `maxAttempts`. A manual retry sets it to
   * 0.
   */
  readonly errors: number;
  /** Number of attempts whose executor was lost, limited by the policy's `maxLosses`. A manual retry sets it to 0. */
  readonly losses: number;
  /** Cancellation of the running attempt was requested. */
  readonly cancelRequested: boolean;
  /** The job can't be dequeued before this time: the back-off after an error. */
  readonly visibleAt: Date;
  /** While `processing`: when the lease of the attempt expires unless a heartbeat renews it. */
  readonly leaseExpiresAt: Date | null;
  readonly finishedAt: Date | null;
  readonly failureReason: FailureReason | null;
}

export interface RetryPolicy {
  /** How many attempts may end by Airlock's fault before the job is `errored`. At least 1. */
  readonly maxAttempts: number;
  /**
   * How many attempts may lose their executor before the job is `errored`, since the job may be what kills them. At
   * least 1.
   */
  readonly maxLosses: number;
  /** Wait before the attempt after the first error. Doubled for each further error, up to `backoffMaxMs`. */
  readonly backoffMs: number;
  readonly backoffMaxMs: number;
  readonly leaseMs: number;
  /** How long a job may wait for an executor each time it is queued, without a back-off; `null`: forever. */
  readonly maxWaitMs: number | null;
}

/**
 * An event in the life of a job. `attempt` is a fencing token: events of attempts other than the running one are
 * refused.
 */
export type JobEvent =
  | { readonly kind: "dequeue" }
  | { readonly kind: "heartbeat"; readonly attempt: number }
  | { readonly kind: "complete"; readonly attempt: number }
  | { readonly kind: "fail"; readonly attempt: number; readonly reason: FailureReason }
  | { readonly kind: "error"; readonly attempt: number; readonly reason: FailureReason }
  | { readonly kind: "expire" }
  | { readonly kind: "expire-wait" }
  | { readonly kind: "cancel" }
  | { readonly kind: "retry" };

export class TransitionError extends Error {
  override readonly name = "TransitionError";
  readonly code: "lapsed-attempt" | "wrong-state" | "not-visible" | "lease-valid" | "wait-valid";

  constructor(code: TransitionError["code"], message: string) {
    super(message);
    this.code = code;
  }
}

export function isFinished(state: JobState): boolean {
  return state !== "queued" && state !== "processing";
}

/**
 * The complete life cycle of a job as a pure function. The store implements these rules in SQL and is tested against
 * this.
 * @throws {TransitionError} if the event has no effect in this state. The job is unchanged.
 */
export function applyEvent(job: JobLifecycle, event: JobEvent, now: Date, policy: RetryPolicy): JobLifecycle {
  switch (event.kind) {
    case "dequeue":
      requireState(job, event.kind, ["queued"]);
      if (job.visibleAt > now)
        throw new TransitionError("not-visible", `not handed out before ${job.visibleAt.toISOString()}`);
      return { ...job, state: "processing", attempt: job.attempt + 1, leaseExpiresAt: after(now, policy.leaseMs) };
    case "heartbeat":
      requireAttempt(job, event);
      return { ...job, leaseExpiresAt: after(now, policy.leaseMs) };
    case "complete":
      requireAttempt(job, event);
      // The attempt completed before the cancellation reached it, so keep its result.
      return finish(job, "completed", null, now);
    case "fail":
      requireAttempt(job, event);
      return finish(job, job.cancelRequested ? "canceled" : "failed", event.reason, now);
    case "error":
      requireAttempt(job, event);
      return afterError(job, event.reason, now, policy);
    case "expire":
      requireState(job, event.kind, ["processing"]);
      if (job.leaseExpiresAt !== null && job.leaseExpiresAt > now) {
        throw new TransitionError("lease-valid", `the lease holds until ${job.leaseExpiresAt.toISOString()}`);
      }
      return afterError(job, "lease-lost", now, policy);
    case "expire-wait":
      requireState(job, event.kind, ["queued"]);
      if (policy.maxWaitMs === null || now < after(job.visibleAt, policy.maxWaitMs)) {
        throw new TransitionError("wait-valid", "the job may still wait");
      }
      return finish(job, "failed", "queue-timeout", now);
    case "cancel":
      requireState(job, event.kind, ["queued", "processing"]);
      if (job.state === "queued") return { ...finish(job, "canceled", null, now), cancelRequested: true };
      return { ...job, cancelRequested: true };
    case "retry":
      requireState(job, event.kind, ["completed", "errored", "failed", "canceled"]);
      return { ...job, ...fresh, state: "queued", errors: 0, losses: 0, cancelRequested: false, visibleAt: now };
    default:
      return assertNever(event);
  }
}

const fresh = { leaseExpiresAt: null, finishedAt: null, failureReason: null } as const;

function afterError(job: JobLifecycle, reason: FailureReason, now: Date, policy: RetryPolicy): JobLifecycle {
  if (job.cancelRequested) return finish(job, "canceled", reason, now);
  // Draining is not an error: the job is queued again at once, and no count changes.
  if (reason === "executor-shutdown") return { ...job, ...fresh, state: "queued", visibleAt: now };
  if (reason === "lease-lost") {
    const losses = job.losses + 1;
    if (losses >= policy.maxLosses) return { ...finish(job, "errored", reason, now), losses };
    // Retry at once: waiting would not bring the executor back.
    return { ...job, ...fresh, state: "queued", losses, visibleAt: now };
  }
  const errors = job.errors + 1;
  if (!isRetryable(reason) || errors >= policy.maxAttempts) return { ...finish(job, "errored", reason, now), errors };
  const waitMs = Math.min(policy.backoffMs * 2 ** (errors - 1), policy.backoffMaxMs);
  return { ...job, ...fresh, state: "queued", errors, visibleAt: after(now, waitMs) };
}

function finish(job: JobLifecycle, state: JobState, failureReason: FailureReason | null, now: Date): JobLifecycle {
  return { ...job, state, failureReason, finishedAt: now, leaseExpiresAt: null };
}

function requireState(job: JobLifecycle, kind: string, states: readonly JobState[]): void {
  if (!states.includes(job.state))
    throw new TransitionError("wrong-state", `cannot ${kind} a job that is ${job.state}`);
}

function requireAttempt(job: JobLifecycle, event: { readonly kind: string; readonly attempt: number }): void {
  requireState(job, event.kind, ["processing"]);
  if (event.attempt !== job.attempt) {
    throw new TransitionError("lapsed-attempt", `attempt ${event.attempt} is over: attempt ${job.attempt} is running`);
  }
}

function after(now: Date, ms: number): Date {
  return new Date(now.getTime() + ms);
}
