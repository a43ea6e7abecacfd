import { spawn } from "node:child_process";
import { once } from "node:events";
import path from "node:path";
import { createInterface } from "node:readline";
import { createDatabase, startEngines } from "@airlock/test-kit";
import { Logger, run as runGraphile } from "graphile-worker";
import pg from "pg";
import PgBoss from "pg-boss";
import type { BenchOptions } from "../measuring/bench-options.ts";
import { runPaired, type Subject } from "../measuring/paired.ts";
import { type BenchResult, compare } from "../measuring/result.ts";

const root = path.dirname(path.dirname(path.dirname(import.meta.dirname)));
const program = path.join(root, "apps/instance/src/testing/queue-bench.ts");
const jobsPerRound = 300;
const workerCounts = [1, 16] as const;
const connections = 16;

/**
 * A queue under test. A round enqueues jobs, then dequeues and completes each one separately, and returns milliseconds.
 */
interface Queue extends AsyncDisposable {
  readonly name: string;
  round(workers: number): Promise<number>;
}

/** Compares our queue's statements with other queues on the same PostgreSQL server, each in its own database. */
export async function queue(options: BenchOptions): Promise<BenchResult> {
  const rounds = options.rounds ?? 15;
  await using cleanup = new AsyncDisposableStack();
  const { engines } = cleanup.use(await startEngines(["postgres"]));
  const { postgres } = engines;
  if (!postgres) throw new Error(`this row needs PostgreSQL: ${engines.missing.postgres}`);
  const queues: Queue[] = [];
  for (const open of [openAirlock, openGraphileWorker, openPgBoss]) {
    const database = cleanup.use(await createDatabase(postgres.url));
    queues.push(cleanup.use(await open(database.url)));
  }
  const subjects = workerCounts.flatMap((workers) =>
    queues.map((one): Subject => ({ name: named(one.name, workers), run: () => one.round(workers) })),
  );
  const samples = await runPaired(subjects, { rounds, warmup: 3, progress: options.progress });
  return {
    bench: `queue: enqueue, dequeue and complete ${jobsPerRound} jobs`,
    rounds,
    samples,
    comparisons: workerCounts.flatMap((workers) =>
      ["graphile-worker", "pg-boss"].map((peer) =>
        compare(samples, named("airlock", workers), named(peer, workers), 1),
      ),
    ),
    notes: [
      "A ratio below 1 means that Airlock takes less time. Every job is enqueued, dequeued and completed by itself, with commits of its own.",
      "Airlock's jobs carry a lease, an attempt on record and a token; its notices to waiting executors are sent in batches beside the jobs and not counted.",
    ],
  };
}

const named = (queue: string, workers: number) => `${queue}, ${workers} ${workers === 1 ? "worker" : "workers"}`;

async function together(workers: number, work: () => Promise<void>): Promise<void> {
  await Promise.all(Array.from({ length: workers }, work));
}

async function openAirlock(url: string): Promise<Queue> {
  const child = spawn(process.execPath, [program, url], { stdio: ["pipe", "pipe", "inherit"] });
  const exited = once(child, "exit");
  const answers = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return {
    name: "airlock",
    async round(workers) {
      child.stdin.write(`${jobsPerRound} ${workers}\n`);
      const answer = await answers.next();
      if (answer.done) throw new Error("the queue's program ended");
      return Number(answer.value);
    },
    async [Symbol.asyncDispose]() {
      child.stdin.end();
      await exited;
    },
  };
}

async function openGraphileWorker(url: string): Promise<Queue> {
  const pool = new pg.Pool({ connectionString: url, max: connections + 2 });
  let done = 0;
  let onAll: () => void = () => {};
  const taskList = {
    noop: () => {
      done += 1;
      if (done === jobsPerRound) onAll();
    },
  };
  const open = (concurrency: number) =>
    runGraphile({
      pgPool: pool,
      concurrency,
      taskList,
      pollInterval: 50,
      noHandleSignals: true,
      // Printing a line per job would be measured too.
      logger: new Logger(() => () => {}),
      noPreparedStatements: false,
    });
  const first = await open(1);
  const { addJob } = first;
  await first.stop();
  return {
    name: "graphile-worker",
    async round(workers) {
      done = 0;
      const all = new Promise<void>((resolve) => {
        onAll = resolve;
      });
      const startedAt = performance.now();
      let left = jobsPerRound;
      await together(workers, async () => {
        while (left-- > 0) await addJob("noop", {});
      });
      const enqueuedAt = performance.now();
      // Don't measure the start of its workers.
      const runner = await open(workers);
      const workingAt = performance.now();
      await all;
      const ms = performance.now() - workingAt + (enqueuedAt - startedAt);
      await runner.stop();
      return ms;
    },
    [Symbol.asyncDispose]: () => pool.end(),
  };
}

async function openPgBoss(url: string): Promise<Queue> {
  const boss = new PgBoss({ connectionString: url, max: connections, supervise: false, schedule: false });
  await boss.start();
  await boss.createQueue("noop");
  return {
    name: "pg-boss",
    async round(workers) {
      const startedAt = performance.now();
      let left = jobsPerRound;
      await together(workers, async () => {
        while (left-- > 0) await boss.send("noop", {});
      });
      let done = 0;
      await together(workers, async () => {
        while (done < jobsPerRound) {
          for (const { id } of await boss.fetch("noop")) {
            await boss.complete("noop", id);
            done += 1;
          }
        }
      });
      return performance.now() - startedAt;
    },
    [Symbol.asyncDispose]: () => boss.stop({ graceful: false }),
  };
}
