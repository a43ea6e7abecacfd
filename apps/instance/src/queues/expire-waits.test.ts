import { CreateQueueRequest, JobSpec } from "@airlock/api";
import { createDatabase, describeWithEngines, engines } from "@airlock/test-kit";
import { sql } from "kysely";
import { afterAll, beforeAll, expect, it } from "vitest";
import { type Database, openDatabase } from "../store/database.ts";
import { dequeueJob } from "./dequeue-job.ts";
import { errorAttempt } from "./end-attempt.ts";
import { enqueueJob } from "./enqueue-job.ts";
import { expireWaits } from "./expire-waits.ts";
import { createQueue, updateQueue } from "./queue-settings.ts";

describeWithEngines(["postgres"], "a queue's maximum waiting time", () => {
  const suite = new AsyncDisposableStack();
  let db: Database;
  let other: Database;
  let queues = 0;

  beforeAll(async () => {
    const database = suite.use(await createDatabase(engines().postgres?.url ?? ""));
    db = await openDatabase({ url: database.url });
    suite.defer(() => db.destroy());
    other = await openDatabase({ url: database.url });
    suite.defer(() => other.destroy());
    await sql`create table test_clock (ahead interval not null)`.execute(db);
    await sql`insert into test_clock values (interval '0')`.execute(db);
    await sql`create or replace function airlock_now() returns timestamptz language sql stable
      as 'select now() + ahead from test_clock'`.execute(db);
  });
  afterAll(() => suite.disposeAsync());

  const pass = (seconds: number) =>
    sql`update test_clock set ahead = ahead + make_interval(secs => ${seconds})`.execute(db);
  const why = async () => "No executor is connected.";

  async function newQueue(settings: { maxWaitMs?: number | null; backoffMs?: number } = {}): Promise<string> {
    const name = `q${++queues}`;
    await createQueue(db, { ...CreateQueueRequest.parse({ name, maxWaitMs: 60_000 }), ...settings });
    return name;
  }
  async function enqueue(queue: string): Promise<number> {
    const spec = JobSpec.parse({ queue, steps: [{ image: "alpine", run: "true" }] });
    return (await enqueueJob(db, { spec, repository: null, commit: null, idempotencyKey: null })).id;
  }
  const read = (id: number) => db.selectFrom("jobs").selectAll().where("id", "=", id).executeTakeFirstOrThrow();
  const expired = async () => (await expireWaits(db, why)).map((job) => job.id);

  it("fails only a job that waited that long, with the time and the reason", async () => {
    const queue = await newQueue();
    const forever = await enqueue(await newQueue({ maxWaitMs: null }));
    const late = await enqueue(queue);
    await pass(59);
    const early = await enqueue(queue);
    expect(await expired()).toEqual([]);
    await pass(2);
    expect(await expired()).toEqual([late]);
    expect(await read(late)).toMatchObject({
      state: "failed",
      attempt: 0,
      exit_code: 1,
      failure_reason: "queue-timeout",
      failure_message: "no executor took it within 1m 0s, its queue's maximum waiting time: No executor is connected.",
    });
    expect([(await read(early)).state, (await read(forever)).state]).toEqual(["queued", "queued"]);
  });

  it("fails each job only once when several instances check at the same time", async () => {
    const queue = await newQueue();
    const ids: number[] = [];
    for (let index = 0; index < 20; index++) ids.push(await enqueue(queue));
    await pass(61);
    const found = await Promise.all([db, other, db, other].map((each) => expireWaits(each, why)));
    expect(
      found
        .flat()
        .map(({ id }) => id)
        .filter((id) => ids.includes(id))
        .sort((a, b) => a - b),
    ).toEqual(ids);
  });

  it("leaves a job alone if an executor takes it while the reason is determined", async () => {
    const queue = await newQueue();
    const id = await enqueue(queue);
    await pass(61);
    const ended = await expireWaits(db, async (job) => {
      if (job === id) await dequeueJob(db, { queues: [queue], executor: "e", labels: {} });
      return "";
    });
    expect(ended.map((job) => job.id)).not.toContain(id);
    expect(await read(id)).toMatchObject({ state: "processing", failure_reason: null });
  });

  it("starts anew with each attempt, after its back-off", async () => {
    const queue = await newQueue({ backoffMs: 30_000 });
    const id = await enqueue(queue);
    await pass(50);
    await dequeueJob(db, { queues: [queue], executor: "e", labels: {} });
    const failure = { reason: "runtime" as const, message: "because", exitCode: null };
    await errorAttempt(db, { job: id, attempt: 1, executor: "e" }, failure);
    await pass(80);
    expect(await expired()).not.toContain(id);
    await pass(11);
    expect(await expired()).toContain(id);
  });

  it("applies to jobs that already wait when it is set, and stops applying when it is removed", async () => {
    const queue = await newQueue({ maxWaitMs: null });
    const id = await enqueue(queue);
    await pass(3600);
    expect(await expired()).not.toContain(id);
    await updateQueue(db, queue, { maxWaitMs: 7_200_000 });
    expect(await expired()).not.toContain(id);
    await pass(3600);
    await updateQueue(db, queue, { maxWaitMs: null });
    expect(await expired()).not.toContain(id);
    await updateQueue(db, queue, { maxWaitMs: 7_200_000 });
    expect(await expired()).toContain(id);
  });
});
