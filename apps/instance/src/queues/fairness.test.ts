import { JobSpec } from "@airlock/api";
import { createDatabase, describeWithEngines, engines, type TestDatabase } from "@airlock/test-kit";
import { sql } from "kysely";
import { afterAll, beforeAll, expect, it } from "vitest";
import { type Database, openDatabase } from "../store/database.ts";
import { dequeueJob } from "./dequeue-job.ts";
import { completeAttempt } from "./end-attempt.ts";
import { enqueueJob } from "./enqueue-job.ts";

const manyJobs = 10_000;

describeWithEngines(["postgres"], "namespaces that share a queue", () => {
  let database: TestDatabase;
  let db: Database;
  beforeAll(async () => {
    database = await createDatabase(engines().postgres?.url ?? "");
    db = await openDatabase({ url: database.url });
    await enqueue("greedy");
    // Rows as if each job had been enqueued after the previous one.
    await sql`
      insert into jobs (queue, spec, namespace, revision, turn)
      select queue, spec, namespace, revision, turn + number from jobs, generate_series(1, ${manyJobs}) number`.execute(
      db,
    );
  });
  afterAll(async () => {
    await db?.destroy();
    await database?.[Symbol.asyncDispose]();
  });

  async function enqueue(namespace: string): Promise<number> {
    const spec = JobSpec.parse({ namespace, steps: [{ image: "alpine", run: "true" }] });
    return (await enqueueJob(db, { spec, repository: null, commit: null, idempotencyKey: null })).id;
  }
  async function take(): Promise<string> {
    const job = await dequeueJob(db, { queues: ["default"], executor: "e", labels: {} });
    if (!job) throw new Error("the queue is empty");
    await completeAttempt(db, { job: job.id, attempt: job.attempt, executor: "e" });
    return job.spec.namespace;
  }
  async function takeMany(count: number): Promise<string[]> {
    const taken: string[] = [];
    while (taken.length < count) taken.push(await take());
    return taken;
  }

  it("take turns: one with 10,000 jobs does not hold up one with a single job", async () => {
    await takeMany(50);
    await enqueue("modest");
    expect(await takeMany(3)).toContain("modest");
  });

  it("keep their turns after a restart, and a late namespace joins in", async () => {
    for (let count = 0; count < 5; count += 1) await enqueue("modest");
    await db.destroy();
    db = await openDatabase({ url: database.url });
    await enqueue("late");
    const taken = await takeMany(12);
    expect(taken.filter((namespace) => namespace === "modest")).toHaveLength(5);
    expect(taken.slice(0, 4)).toContain("late");
  });
});
