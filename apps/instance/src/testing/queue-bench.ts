import { createInterface } from "node:readline";
import { JobSpec } from "@airlock/api";
import { dequeueJob } from "../queues/dequeue-job.ts";
import { completeAttempt } from "../queues/end-attempt.ts";
import { enqueueJob } from "../queues/enqueue-job.ts";
import { type Database, openDatabase } from "../store/database.ts";

// The queue as a separate program, because the benchmark may not import it: `node queue-bench.ts DATABASE_URL`. Each
// input line `JOBS WORKERS` is a round. Each output line is the round's duration in ms.

const spec = JobSpec.parse({ steps: [{ image: "busybox", run: "true" }] });
const executor = "bench";

async function enqueueAll(db: Database, jobs: number, workers: number): Promise<void> {
  let left = jobs;
  await together(workers, async () => {
    while (left-- > 0) await enqueueJob(db, { spec, repository: null, commit: null, idempotencyKey: null });
  });
}

async function runAll(db: Database, jobs: number, workers: number): Promise<void> {
  let done = 0;
  await together(workers, async () => {
    while (done < jobs) {
      const job = await dequeueJob(db, { queues: [spec.queue], executor, labels: {} });
      if (!job) continue;
      const ended = await completeAttempt(db, { job: job.id, attempt: job.attempt, executor });
      if (!ended) throw new Error(`job ${job.id} was not completed`);
      done += 1;
    }
  });
}

async function together(workers: number, work: () => Promise<void>): Promise<void> {
  await Promise.all(Array.from({ length: workers }, work));
}

const [url] = process.argv.slice(2);
if (url === undefined) throw new Error("usage: queue-bench.ts DATABASE_URL");
const db = await openDatabase({ url, maxConnections: 16 });
for await (const line of createInterface({ input: process.stdin })) {
  const [jobs = 0, workers = 1] = line.split(" ").map(Number);
  const startedAt = performance.now();
  await enqueueAll(db, jobs, workers);
  await runAll(db, jobs, workers);
  console.log(performance.now() - startedAt);
}
await db.destroy();
