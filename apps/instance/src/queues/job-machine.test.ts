import type { JobView } from "@airlock/api";
import type { JobState } from "@airlock/job";
import { createDatabase, describeWithEngines, engines, fuzzParameters } from "@airlock/test-kit";
import fc from "fast-check";
import { afterAll, beforeAll, expect, it } from "vitest";
import { installTestClock, type TestClock } from "../testing/test-clock.ts";
import { jobHeaders, startTestInstance, type TakenJob, type TestInstance } from "../testing/test-instance.ts";
import { expireLeases } from "./expire-leases.ts";

const leaseMs = 600_000;
const concurrencyLimit = 3;
const namespaceConcurrencyLimit = 2;
/** An instance may delete a token this long after its attempt ended (`deleteSpentTokens`). It does so in the background. */
const tokenKeptMs = 600_000;
const startTime = "2026-01-01T00:00:00Z";
const executorNames = ["one", "two", "three"];
const namespaces = ["red", "green"];

/** What the model knows of an attempt: its executor, and what its log must always contain. */
interface Attempt {
  readonly job: TakenJob;
  readonly number: number;
  readonly executor: string;
  log: string;
  entries: number;
  /** `null` while the attempt runs. */
  ended: string | null;
  /** The world's `elapsedMs` when the attempt ended. */
  endedAtMs: number;
}

interface Job {
  readonly id: number;
  readonly namespace: string;
  readonly attempts: Attempt[];
  /** What the model knows for certain. Back-off and limits decide the rest. */
  state: JobState;
  cancelRequested: boolean;
}

interface World {
  readonly queue: string;
  readonly jobs: Job[];
  /** Drained executors, with the value of `time` at their last heartbeat. */
  readonly drained: Map<string, number>;
  /** Counts how often the clock was moved. Each move is longer than an executor may be silent. */
  time: number;
  /** How far the clock was moved. */
  elapsedMs: number;
  /** Reports that were sent, to be repeated later. */
  readonly sent: (() => Promise<number>)[];
}

type Command =
  | { readonly kind: "submit"; readonly namespace: string }
  | { readonly kind: "dequeue"; readonly executor: string }
  | { readonly kind: "heartbeat"; readonly executor: string }
  | { readonly kind: "log" | "complete" | "fail" | "error" | "stale-log" | "stale-report"; readonly pick: number }
  | { readonly kind: "cancel" | "retry"; readonly pick: number }
  | { readonly kind: "expire"; readonly pick: number }
  | { readonly kind: "drain"; readonly executor: string }
  | { readonly kind: "replay"; readonly pick: number }
  | { readonly kind: "wait" };

const one = <Kind extends string>(kind: Kind) => fc.record({ kind: fc.constant(kind), pick: fc.nat() });
const by = <Kind extends string>(kind: Kind) =>
  fc.record({ kind: fc.constant(kind), executor: fc.constantFrom(...executorNames) });

const command: fc.Arbitrary<Command> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({ kind: fc.constant("submit" as const), namespace: fc.constantFrom(...namespaces) }),
  },
  { weight: 6, arbitrary: by("dequeue" as const) },
  { weight: 2, arbitrary: by("heartbeat" as const) },
  { weight: 4, arbitrary: one("log" as const) },
  { weight: 2, arbitrary: one("complete" as const) },
  { weight: 1, arbitrary: one("fail" as const) },
  { weight: 2, arbitrary: one("error" as const) },
  { weight: 2, arbitrary: one("stale-log" as const) },
  { weight: 2, arbitrary: one("stale-report" as const) },
  { weight: 2, arbitrary: one("cancel" as const) },
  { weight: 1, arbitrary: one("retry" as const) },
  { weight: 2, arbitrary: one("expire" as const) },
  { weight: 1, arbitrary: by("drain" as const) },
  { weight: 2, arbitrary: one("replay" as const) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("wait" as const) }) },
);

describeWithEngines(["postgres"], "jobs under any sequence of executor and user actions", () => {
  let target: TestInstance;
  let clock: TestClock;
  let worlds = 0;
  beforeAll(async () => {
    target = await startTestInstance(await createDatabase(engines().postgres?.url ?? ""));
    clock = await installTestClock(target.instance.databaseUrl);
  });
  afterAll(async () => {
    await clock?.[Symbol.asyncDispose]();
    await target?.[Symbol.asyncDispose]();
  });

  async function newWorld(): Promise<World> {
    const queue = `machine-${++worlds}`;
    const settings = { leaseMs, concurrencyLimit, namespaceConcurrencyLimit, backoffMs: 5000, maxAttempts: 2 };
    const created = await target.rest("POST", "/queues", { name: queue, ...settings });
    expect(created.status).toBe(201);
    return { queue, jobs: [], drained: new Map(), time: 0, elapsedMs: 0, sent: [] };
  }

  async function moveClock(world: World, ms: number): Promise<void> {
    await clock.moveBy(ms);
    world.time += 1;
    world.elapsedMs += ms;
  }
  function end(world: World, attempt: Attempt, as: string): void {
    attempt.ended = as;
    attempt.endedAtMs = world.elapsedMs;
  }
  /** The allowed responses to a late message of an attempt: `expected`, or 401 once its token may be gone. */
  const lateResponses = (world: World, attempt: Attempt, expected: number) =>
    world.elapsedMs - attempt.endedAtMs >= tokenKeptMs ? [expected, 401] : [expected];

  const nameIn = (world: World, executor: string) => `${world.queue}-${executor}`;
  /** An executor that was away counts as restarted, so its drain request no longer applies. */
  function heard(world: World, executor: string): void {
    const heardAt = world.drained.get(executor);
    if (heardAt !== undefined && heardAt < world.time) world.drained.delete(executor);
  }
  async function beat(world: World, executorName: string): Promise<void> {
    const jobIds = world.jobs.map(({ id }) => id);
    await target.executor(`queue/${world.queue}/heartbeat`, { version: "V2", executorName, jobIds });
    heard(world, executorName.replace(`${world.queue}-`, ""));
  }
  const running = (world: World) =>
    world.jobs.flatMap((job) =>
      job.attempts.filter((attempt) => attempt.ended === null).map((attempt) => ({ job, attempt })),
    );
  const lapsed = (world: World) =>
    world.jobs.flatMap((job) =>
      job.attempts.filter((attempt) => attempt.ended !== null).map((attempt) => ({ job, attempt })),
    );
  const picked = <T>(list: readonly T[], pick: number): T | undefined => list[pick % Math.max(1, list.length)];

  async function write(world: World, attempt: Attempt, route: string, body: object): Promise<number> {
    const whole = { executorName: attempt.executor, jobId: attempt.job.id, attempt: attempt.number, ...body };
    const send = async () =>
      (await target.executor(`queue/${world.queue}/${route}`, whole, jobHeaders(attempt.job, attempt.executor))).status;
    world.sent.push(send);
    return send();
  }

  function logEvents(attempt: Attempt, text: string) {
    return {
      events: [
        { kind: "open", entryId: 1, key: "step.docker.main", command: [], startTime },
        {
          kind: "chunk",
          entryId: 1,
          offset: Buffer.byteLength(attempt.log),
          stream: "stdout",
          data: Buffer.from(text).toString("base64"),
        },
      ],
    };
  }

  /** The job's state after an attempt errored, as far as the model knows without the queue's limits. */
  function afterError(job: Job): JobState {
    return job.cancelRequested ? "canceled" : "queued";
  }

  async function obey(world: World, order: Command): Promise<void> {
    switch (order.kind) {
      case "submit": {
        const id = await target.submit({ queue: world.queue, namespace: order.namespace });
        world.jobs.push({ id, namespace: order.namespace, attempts: [], state: "queued", cancelRequested: false });
        return;
      }
      case "dequeue": {
        const executor = nameIn(world, order.executor);
        const response = await target.executor(`queue/${world.queue}/dequeue`, { executorName: executor, airlock: {} });
        if (response.status === 204) return;
        expect(response.status).toBe(200);
        const taken = (await response.json()) as TakenJob;
        const job = world.jobs.find(({ id }) => id === taken.id);
        if (!job) throw new Error(`job ${taken.id} is of no queue that was asked for`);
        // Running and ended jobs are never handed out, and drained executors get no job.
        expect(job.state).toBe("queued");
        expect(world.drained.has(order.executor)).toBe(false);
        expect(taken.airlock.attempt).toBe(job.attempts.length + 1);
        const number = taken.airlock.attempt;
        job.attempts.push({ job: taken, number, executor, log: "", entries: 0, ended: null, endedAtMs: 0 });
        job.state = "processing";
        return;
      }
      case "heartbeat": {
        const executor = nameIn(world, order.executor);
        const response = await target.executor(`queue/${world.queue}/heartbeat`, {
          version: "V2",
          executorName: executor,
          jobIds: world.jobs.map(({ id }) => id),
          airlock: {},
        });
        heard(world, order.executor);
        const beat = (await response.json()) as { knownIds: string[]; cancelIds: string[] };
        const own = running(world).filter(({ attempt }) => attempt.executor === executor);
        expect(beat.knownIds.sort()).toEqual(own.map(({ job }) => String(job.id)).sort());
        const canceled = own.filter(({ job }) => job.cancelRequested);
        expect(beat.cancelIds.sort()).toEqual(canceled.map(({ job }) => String(job.id)).sort());
        return;
      }
      case "log": {
        const found = picked(running(world), order.pick);
        if (!found) return;
        const text = `${found.job.id}.${found.attempt.number}: line ${found.attempt.log.length}\n`;
        expect(await write(world, found.attempt, "logs", logEvents(found.attempt, text))).toBe(204);
        found.attempt.log += text;
        found.attempt.entries = 1;
        return;
      }
      case "stale-log": {
        const found = picked(lapsed(world), order.pick);
        if (!found) return;
        const allowed = (expected: number) => lateResponses(world, found.attempt, expected);
        expect(allowed(409)).toContain(
          await write(world, found.attempt, "logs", logEvents(found.attempt, "too late\n")),
        );
        const entry = { key: "late", command: [], startTime, out: "stdout: late\n" };
        expect(allowed(500)).toContain(await write(world, found.attempt, "addExecutionLogEntry", entry));
        return;
      }
      case "stale-report": {
        const found = picked(lapsed(world), order.pick);
        if (!found) return;
        const { ended } = found.attempt;
        const allowed = (expected: number) => lateResponses(world, found.attempt, expected);
        // A repeat of the accepted report gets the same response. Any other report is refused.
        const complete = await write(world, found.attempt, "markComplete", {});
        expect(allowed(ended === "completed" ? 204 : 404)).toContain(complete);
        const fail = await write(world, found.attempt, "markFailed", { reason: "timeout", errorMessage: "stale" });
        expect(allowed(404)).toContain(fail);
        return;
      }
      case "complete":
      case "fail":
      case "error": {
        const found = picked(running(world), order.pick);
        if (!found) return;
        const { job, attempt } = found;
        const [route, body] = {
          complete: ["markComplete", {}] as const,
          fail: ["markFailed", { errorMessage: "it failed", exitCode: 3 }] as const,
          error: ["markErrored", { errorMessage: "we failed", reason: "runtime" }] as const,
        }[order.kind];
        expect(await write(world, attempt, route, body)).toBe(204);
        end(world, attempt, { complete: "completed", fail: "failed", error: "errored" }[order.kind]);
        if (order.kind === "error") job.state = afterError(job);
        else if (order.kind === "fail") job.state = job.cancelRequested ? "canceled" : "failed";
        else job.state = "completed";
        return;
      }
      case "cancel": {
        const job = picked(world.jobs, order.pick);
        if (!job) return;
        const response = await target.rest("POST", `/jobs/${job.id}/cancel`);
        const before = await stateOf(job);
        expect([200, 409]).toContain(response.status);
        if (response.status === 409) return;
        job.cancelRequested = true;
        if (job.state === "queued") job.state = "canceled";
        expect(before).toBe(job.state);
        return;
      }
      case "retry": {
        const job = picked(world.jobs, order.pick);
        if (!job) return;
        const open = job.state === "processing" || job.state === "queued";
        const response = await target.rest("POST", `/jobs/${job.id}/retry`);
        expect(response.status).toBe(open ? 409 : 200);
        if (open) return;
        job.state = "queued";
        job.cancelRequested = false;
        return;
      }
      case "expire": {
        const survivor = order.pick % 2 === 0 ? undefined : picked(running(world), order.pick);
        await moveClock(world, leaseMs / 2);
        if (survivor) {
          // One executor sends a heartbeat meanwhile, so its jobs continue.
          await beat(world, survivor.attempt.executor);
        }
        await moveClock(world, leaseMs / 2 + 1000);
        while ((await expireLeases(clock.db)).length > 0);
        for (const { job, attempt } of running(world)) {
          if (attempt.executor === survivor?.attempt.executor) continue;
          end(world, attempt, "lost");
          job.state = afterError(job);
        }
        return;
      }
      case "drain": {
        const name = nameIn(world, order.executor);
        const beat = { version: "V2", executorName: name, jobIds: [], airlock: {} };
        await target.executor(`queue/${world.queue}/heartbeat`, beat);
        expect((await target.rest("POST", `/executors/${name}/drain`)).status).toBe(200);
        world.drained.set(order.executor, world.time);
        return;
      }
      case "replay": {
        const send = picked(world.sent, order.pick);
        // Any response is fine here. Its effect is checked below.
        if (send) expect(await send()).toBeLessThan(501);
        return;
      }
      case "wait":
        // Only "expire" ends leases. Several waits together take longer than one.
        for (const executor of new Set(running(world).map(({ attempt }) => attempt.executor)))
          await beat(world, executor);
        await moveClock(world, 60_000);
    }
  }

  async function viewOf(job: Job): Promise<JobView> {
    return (await (await target.rest("GET", `/jobs/${job.id}`)).json()) as JobView;
  }
  const stateOf = async (job: Job): Promise<JobState> => (await viewOf(job)).state;

  async function check(world: World): Promise<void> {
    const views = await Promise.all(world.jobs.map(viewOf));
    const atWork = views.filter(({ state }) => state === "processing");
    expect(atWork.length).toBeLessThanOrEqual(concurrencyLimit);
    for (const namespace of namespaces) {
      const ofNamespace = world.jobs.filter((job) => job.namespace === namespace && job.state === "processing");
      expect(ofNamespace.length).toBeLessThanOrEqual(namespaceConcurrencyLimit);
    }
    for (const [index, view] of views.entries()) {
      const job = world.jobs[index];
      if (!job) throw new Error("a job is missing");
      // The model doesn't count errors and losses, so a job that it expects to be retried may also have ended.
      if (job.state === "queued" && view.state === "errored" && job.attempts.at(-1)?.ended !== null) {
        job.state = "errored";
      }
      expect({ id: job.id, state: view.state, attempt: view.attempt }).toEqual({
        id: job.id,
        state: job.state,
        attempt: job.attempts.length,
      });
      expect(view.attempts.filter(({ state }) => state === "processing")).toHaveLength(
        view.state === "processing" ? 1 : 0,
      );
      for (const attempt of job.attempts) {
        const shown = view.attempts.find((candidate) => candidate.attempt === attempt.number);
        if (attempt.ended === null) expect(shown?.state).toBe("processing");
        if (attempt.ended === "completed") expect(shown?.state).toBe("completed");
        if (attempt.ended === "failed") expect(["failed", "canceled"]).toContain(shown?.state);
        if (attempt.ended === "errored" || attempt.ended === "lost") {
          expect(["errored", "canceled"]).toContain(shown?.state);
        }
        expect(view.entries.filter((entry) => entry.attempt === attempt.number)).toHaveLength(attempt.entries);
      }
    }
  }

  async function checkLogs(world: World): Promise<void> {
    for (const job of world.jobs) {
      for (const attempt of job.attempts) {
        const log = await target.rest("GET", `/jobs/${job.id}/logs?attempt=${attempt.number}&notes=false`);
        expect(await log.text()).toBe(attempt.log);
      }
    }
  }

  it(
    "end once per attempt, keep every attempt's log, and respect their limits",
    async () => {
      const seen = new Set<string>();
      await fc.assert(
        fc.asyncProperty(fc.array(command, { minLength: 10, maxLength: 60 }), async (orders) => {
          const world = await newWorld();
          await target.submit({ queue: world.queue }).then((id) => {
            world.jobs.push({ id, namespace: "default", attempts: [], state: "queued", cancelRequested: false });
          });
          for (const order of orders) {
            await obey(world, order);
            await check(world);
          }
          await checkLogs(world);
          for (const job of world.jobs) {
            seen.add(job.state);
            for (const { ended } of job.attempts) seen.add(`attempt ${ended ?? "open"}`);
          }
          // Clean up, so that the next world's sweep doesn't find jobs of this one.
          for (const job of world.jobs) await target.rest("POST", `/jobs/${job.id}/cancel`);
          for (const { attempt } of running(world)) await write(world, attempt, "markFailed", { errorMessage: "over" });
        }),
        { ...fuzzParameters("job machine", 25), endOnFailure: true },
      );
      for (const path of ["attempt completed", "attempt lost", "attempt errored", "canceled", "completed", "queued"]) {
        expect([...seen]).toContain(path);
      }
    },
    Number(process.env.AIRLOCK_FUZZ_RUNS ?? 0) * 20_000 + 180_000,
  );
});
