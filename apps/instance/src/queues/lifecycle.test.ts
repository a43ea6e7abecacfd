import { JobSpec } from "@airlock/api";
import {
  applyEvent,
  type FailureReason,
  type JobEvent,
  type JobLifecycle,
  type RetryPolicy,
  TransitionError,
} from "@airlock/job";
import { createDatabase, describeWithEngines, engines, type TestDatabase } from "@airlock/test-kit";
import fc from "fast-check";
import { sql } from "kysely";
import { afterAll, beforeAll, expect, it } from "vitest";
import { type Database, openDatabase } from "../store/database.ts";
import { dequeueJob } from "./dequeue-job.ts";
import { completeAttempt, errorAttempt, failAttempt } from "./end-attempt.ts";
import { enqueueJob } from "./enqueue-job.ts";
import { expireLeases } from "./expire-leases.ts";
import { expireWaits } from "./expire-waits.ts";
import { renewLeases } from "./renew-leases.ts";
import { transitionJob } from "./transition-job.ts";

const policy: RetryPolicy = {
  maxAttempts: 3,
  maxLosses: 3,
  backoffMs: 5000,
  backoffMaxMs: 300_000,
  leaseMs: 15_000,
  maxWaitMs: 60_000,
};
const start = Date.parse("2026-01-01T00:00:00Z");
const executor = "executor-1";
const ourReasons: FailureReason[] = ["runtime", "checkout-unavailable", "lease-lost", "executor-shutdown", "policy"];

interface Step {
  readonly advanceMs: number;
  readonly kind: JobEvent["kind"];
  /** Send the event for the attempt before the last one. */
  readonly lapsed: boolean;
  /** Send the event as an executor that doesn't hold the job. */
  readonly foreign: boolean;
  readonly reason: FailureReason;
}

const step: fc.Arbitrary<Step> = fc.record({
  advanceMs: fc.constantFrom(0, 1, 4999, 5000, 14_999, 15_000, 60_000),
  kind: fc.constantFrom<JobEvent["kind"][]>(
    "dequeue",
    "dequeue",
    "heartbeat",
    "complete",
    "fail",
    "error",
    "error",
    "expire",
    "expire-wait",
    "cancel",
    "retry",
  ),
  lapsed: fc.boolean(),
  foreign: fc.integer({ min: 0, max: 5 }).map((value) => value === 0),
  reason: fc.constantFrom(...ourReasons),
});

const now = (kind: Step["kind"]): Step => ({ advanceMs: 0, kind, lapsed: false, foreign: false, reason: "runtime" });
const later = (kind: Step["kind"]): Step => ({ ...now(kind), advanceMs: 60_000 });

describeWithEngines(["postgres"], "the store's life cycle of a job", () => {
  let database: TestDatabase;
  let db: Database;
  let queues = 0;

  beforeAll(async () => {
    const { postgres } = engines();
    database = await createDatabase(postgres?.url ?? "");
    db = await openDatabase({ url: database.url });
    await sql`create table test_clock (now timestamptz not null)`.execute(db);
    await sql`insert into test_clock values (now())`.execute(db);
    await sql`create or replace function airlock_now() returns timestamptz language sql stable
      as 'select now from test_clock'`.execute(db);
  });
  afterAll(async () => {
    await db?.destroy();
    await database?.[Symbol.asyncDispose]();
  });

  /** Sends the event to the store. Returns `false` if it had no effect. */
  async function send(job: number, queue: string, event: JobEvent, as: string): Promise<boolean> {
    const failure = (reason: FailureReason) => ({ reason, message: "because", exitCode: null });
    switch (event.kind) {
      case "dequeue":
        return (await dequeueJob(db, { queues: [queue], executor, labels: {} })) !== null;
      case "heartbeat":
        return (await renewLeases(db, as, [{ job, attempt: event.attempt, queue }])).length > 0;
      case "complete":
        return (await completeAttempt(db, { job, attempt: event.attempt, executor: as })) !== null;
      case "fail":
        return (await failAttempt(db, { job, attempt: event.attempt, executor: as }, failure(event.reason))) !== null;
      case "error":
        return (await errorAttempt(db, { job, attempt: event.attempt, executor: as }, failure(event.reason))) !== null;
      case "expire":
        return (await expireLeases(db)).some((expired) => expired.id === job);
      case "expire-wait":
        return (await expireWaits(db, async () => "")).some((expired) => expired.id === job);
      case "cancel":
      case "retry":
        return (await transitionJob(db, job, event)).kind === "changed";
    }
  }

  async function read(job: number): Promise<JobLifecycle> {
    const row = await db.selectFrom("jobs").selectAll().where("id", "=", job).executeTakeFirstOrThrow();
    return {
      state: row.state,
      attempt: row.attempt,
      errors: row.errors,
      losses: row.losses,
      cancelRequested: row.cancel_requested,
      visibleAt: row.visible_at,
      leaseExpiresAt: row.lease_expires_at,
      finishedAt: row.finished_at,
      failureReason: row.failure_reason,
    };
  }

  it("matches the reference model of the life cycle for every sequence of events", async () => {
    const seen = new Set<string>();
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 16 }), async (steps) => {
        const queue = `q${++queues}`;
        await db.insertInto("queues").values({ name: queue, max_wait_ms: policy.maxWaitMs }).execute();
        let clock = start;
        await sql`update test_clock set now = ${new Date(clock)}`.execute(db);
        const spec = JobSpec.parse({ queue, steps: [{ image: "alpine", run: "true" }] });
        const { id } = await enqueueJob(db, { spec, repository: null, commit: null, idempotencyKey: null });
        let model = await read(id);
        for (const { advanceMs, kind, lapsed, foreign, reason } of steps) {
          clock += advanceMs;
          await sql`update test_clock set now = ${new Date(clock)}`.execute(db);
          const attempt = Math.max(1, lapsed ? model.attempt - 1 : model.attempt);
          const event = { kind, attempt, reason } as JobEvent;
          const byExecutor = kind === "heartbeat" || kind === "complete" || kind === "fail" || kind === "error";
          const as = foreign && byExecutor ? "executor-2" : executor;
          let expected = model;
          let refusal = as === executor ? null : "foreign";
          try {
            if (!refusal) expected = applyEvent(model, event, new Date(clock), policy);
          } catch (error) {
            if (!(error instanceof TransitionError)) throw error;
            refusal = error.code;
          }
          const changed = await send(id, queue, event, as);
          model = await read(id);
          expect({ event: kind, changed, ...model }).toEqual({ event: kind, changed: refusal === null, ...expected });
          seen.add(refusal ?? `${kind} → ${model.state}`);
        }
        const open = await db
          .selectFrom("attempts")
          .select("attempt")
          .where("job", "=", id)
          .where("state", "=", "processing")
          .execute();
        expect(open.map((row) => row.attempt)).toEqual(model.state === "processing" ? [model.attempt] : []);
        // A job that stays queued must not use up the limit of a later call of expireWaits.
        await db.updateTable("queues").set({ max_wait_ms: null }).where("name", "=", queue).execute();
      }),
      {
        numRuns: 150,
        // Paths that random runs may miss.
        examples: [
          [[now("dequeue"), now("error"), now("dequeue"), later("dequeue"), now("expire"), now("complete")]],
          [[now("dequeue"), later("expire"), now("dequeue"), { ...now("complete"), lapsed: true }, now("complete")]],
          [
            [
              now("dequeue"),
              now("error"),
              later("dequeue"),
              now("error"),
              later("dequeue"),
              now("error"),
              now("retry"),
            ],
          ],
          [
            [
              now("dequeue"),
              later("expire"),
              now("dequeue"),
              later("expire"),
              now("dequeue"),
              later("expire"),
              now("retry"),
            ],
          ],
          [[now("expire-wait"), later("expire-wait"), now("dequeue"), now("retry"), later("dequeue")]],
          [[now("dequeue"), { ...now("complete"), foreign: true }, now("cancel"), now("fail"), now("retry")]],
        ],
      },
    );
    // The run is meaningful only if it took these paths.
    for (const path of [
      "error → queued",
      "error → errored",
      "expire → queued",
      "expire → errored",
      "complete → completed",
      "expire-wait → failed",
    ]) {
      expect(seen).toContain(path);
    }
    for (const refusal of ["lapsed-attempt", "wrong-state", "not-visible", "lease-valid", "wait-valid", "foreign"]) {
      expect(seen).toContain(refusal);
    }
  });
});
