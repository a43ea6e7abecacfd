import { describe, expect, it } from "vitest";
import { applyEvent, type JobLifecycle, type RetryPolicy, TransitionError } from "./lifecycle.ts";

const now = new Date("2026-01-01T00:00:00Z");
const policy: RetryPolicy = {
  maxAttempts: 3,
  maxLosses: 2,
  backoffMs: 1000,
  backoffMaxMs: 60_000,
  leaseMs: 15_000,
  maxWaitMs: 20_000,
};
const queued: JobLifecycle = {
  state: "queued",
  attempt: 0,
  errors: 0,
  losses: 0,
  cancelRequested: false,
  visibleAt: now,
  leaseExpiresAt: null,
  finishedAt: null,
  failureReason: null,
};
const running = applyEvent(queued, { kind: "dequeue" }, now, policy);
const later = new Date(now.getTime() + 20_000);

describe("applyEvent", () => {
  it("opens a new attempt with a lease when a job is handed out", () => {
    expect(running).toMatchObject({
      state: "processing",
      attempt: 1,
      leaseExpiresAt: new Date("2026-01-01T00:00:15Z"),
    });
  });

  it("refuses every write of an attempt whose lease has expired", () => {
    const second = applyEvent(
      applyEvent(running, { kind: "expire" }, later, policy),
      { kind: "dequeue" },
      later,
      policy,
    );
    expect(second.attempt).toBe(2);
    for (const kind of ["complete", "heartbeat"] as const) {
      expect(() => applyEvent(second, { kind, attempt: 1 }, later, policy)).toThrow(TransitionError);
    }
    expect(() => applyEvent(second, { kind: "fail", attempt: 1, reason: "step-failed" }, later, policy)).toThrow(
      "is over",
    );
  });

  it("keeps a lease that has not expired", () => {
    expect(() => applyEvent(running, { kind: "expire" }, now, policy)).toThrow("the lease holds");
  });

  it("retries infrastructure errors with doubled back-off up to the limit, then ends the job as errored", () => {
    const first = applyEvent(running, { kind: "error", attempt: 1, reason: "runtime" }, now, policy);
    expect(first).toMatchObject({ state: "queued", errors: 1, visibleAt: new Date("2026-01-01T00:00:01Z") });
    const second = applyEvent(
      applyEvent(first, { kind: "dequeue" }, later, policy),
      { kind: "error", attempt: 2, reason: "runtime" },
      later,
      policy,
    );
    expect(second.visibleAt.getTime() - later.getTime()).toBe(2000);
    const evenLater = new Date(later.getTime() + 60_000);
    const third = applyEvent(
      applyEvent(second, { kind: "dequeue" }, evenLater, policy),
      { kind: "error", attempt: 3, reason: "runtime" },
      evenLater,
      policy,
    );
    expect(third).toMatchObject({ state: "errored", errors: 3, failureReason: "runtime", finishedAt: evenLater });
  });

  it("does not retry the job's own failure", () => {
    expect(applyEvent(running, { kind: "fail", attempt: 1, reason: "step-failed" }, now, policy).state).toBe("failed");
  });

  it("starts the next attempt of a lost executor's job at once", () => {
    const lost = applyEvent(running, { kind: "expire" }, later, policy);
    expect(lost).toMatchObject({ state: "queued", errors: 0, losses: 1, visibleAt: later });
  });

  it("ends a job that loses one executor after another, however few errors it had", () => {
    const second = applyEvent(
      applyEvent(running, { kind: "expire" }, later, policy),
      { kind: "dequeue" },
      later,
      policy,
    );
    const lost = applyEvent(second, { kind: "error", attempt: 2, reason: "lease-lost" }, later, policy);
    expect(lost).toMatchObject({ state: "errored", errors: 0, losses: 2, failureReason: "lease-lost" });
    expect(applyEvent(lost, { kind: "retry" }, later, policy)).toMatchObject({ state: "queued", losses: 0 });
  });

  it("hands a drained executor's job back without counting an error", () => {
    const back = applyEvent(running, { kind: "error", attempt: 1, reason: "executor-shutdown" }, now, policy);
    expect(back).toMatchObject({ state: "queued", errors: 0, attempt: 1 });
  });

  it("ends a canceled job as canceled whatever the executor reports, unless it had completed", () => {
    const asked = applyEvent(running, { kind: "cancel" }, now, policy);
    expect(asked).toMatchObject({ state: "processing", cancelRequested: true });
    expect(applyEvent(asked, { kind: "fail", attempt: 1, reason: "step-failed" }, now, policy).state).toBe("canceled");
    expect(applyEvent(asked, { kind: "error", attempt: 1, reason: "runtime" }, now, policy).state).toBe("canceled");
    expect(applyEvent(asked, { kind: "expire" }, later, policy).state).toBe("canceled");
    expect(applyEvent(asked, { kind: "complete", attempt: 1 }, now, policy).state).toBe("completed");
  });

  it("fails a job that waited in its queue for too long, not counting back-off", () => {
    const wait = { kind: "expire-wait" } as const;
    expect(() => applyEvent(queued, wait, now, policy)).toThrow("may still wait");
    expect(() => applyEvent(queued, wait, later, { ...policy, maxWaitMs: null })).toThrow("may still wait");
    expect(() => applyEvent(running, wait, later, policy)).toThrow(TransitionError);
    const backingOff = { ...queued, visibleAt: later };
    expect(() => applyEvent(backingOff, wait, later, policy)).toThrow("may still wait");
    const failed = applyEvent(queued, wait, later, policy);
    expect(failed).toMatchObject({ state: "failed", failureReason: "queue-timeout", finishedAt: later, attempt: 0 });
    expect(applyEvent(failed, { kind: "retry" }, later, policy)).toMatchObject({ state: "queued", visibleAt: later });
  });

  it("cancels a queued job at once and refuses to cancel a finished one", () => {
    const canceled = applyEvent(queued, { kind: "cancel" }, now, policy);
    expect(canceled.state).toBe("canceled");
    expect(() => applyEvent(canceled, { kind: "cancel" }, now, policy)).toThrow(TransitionError);
  });

  it("gives a retried job its attempts back, and continues the numbering of attempts", () => {
    const failed = applyEvent(running, { kind: "fail", attempt: 1, reason: "step-failed" }, now, policy);
    const again = applyEvent(failed, { kind: "retry" }, later, policy);
    expect(again).toMatchObject({ state: "queued", errors: 0, attempt: 1, failureReason: null, finishedAt: null });
    expect(applyEvent(again, { kind: "dequeue" }, later, policy).attempt).toBe(2);
  });
});
