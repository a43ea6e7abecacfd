import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { createDatabase, startEngines } from "@airlock/test-kit";
import pg from "pg";
import type { BenchOptions } from "../measuring/bench-options.ts";
import { runPaired, type Subject } from "../measuring/paired.ts";
import { type BenchResult, compare } from "../measuring/result.ts";
import { administratorToken, startInstance } from "./bench-instance.ts";
import { completeJob, takeJob } from "./idle-hands.ts";

/**
 * Time from the submission of a job until an idle executor has it. Floor: the same in bare SQL on the same server
 * (insert and NOTIFY in one transaction, a listener, `FOR UPDATE SKIP LOCKED`). Peer: an executor that polls every
 * second.
 */
export async function dispatch(options: BenchOptions): Promise<BenchResult> {
  const rounds = options.rounds ?? 200;
  await using cleanup = new AsyncDisposableStack();
  options.progress("starting PostgreSQL and an instance");
  const { engines } = cleanup.use(await startEngines(["postgres"]));
  if (!engines.postgres) throw new Error(`this row needs PostgreSQL: ${engines.missing.postgres}`);
  const database = cleanup.use(await createDatabase(engines.postgres.url));
  const floorDatabase = cleanup.use(await createDatabase(engines.postgres.url));
  const instance = cleanup.use(await startInstance(database.url));
  const floor = cleanup.use(await startSqlFloor(floorDatabase.url));

  const longPoll: Subject = { name: "long poll", run: () => measureDispatch(instance.url, 30_000) };
  const samples = await runPaired([longPoll, { name: "bare SQL", run: floor.run }], {
    rounds,
    warmup: 20,
    progress: options.progress,
  });
  // Polling takes up to a second per round, so run only a few rounds.
  const pollRounds = Math.min(rounds, 15);
  const polled = await runPaired([{ name: "1 s poll", run: () => measureDispatch(instance.url, 0) }], {
    rounds: pollRounds,
    warmup: 0,
    progress: (text) => options.progress(`1 s poll, ${text}`),
  });
  return {
    bench: "dispatch: enqueue → an idle executor has the job",
    rounds,
    samples: [...samples, ...polled],
    comparisons: [compare(samples, "long poll", "bare SQL", null)],
    notes: [
      "Target: p50 ≤ 10 ms and p99 ≤ 50 ms over HTTP, for `long poll`.",
      `\`1 s poll\`: ${pollRounds} rounds of an executor that asks without waiting and sleeps 1 s after a 204, as the base protocol does.`,
    ],
  };
}

/** Measures one job from submission until the executor has it, then completes it, so that the queue is empty again. */
async function measureDispatch(url: string, waitMs: number): Promise<number> {
  const taken = takeJob(url, "default", waitMs);
  // A long poll must be parked before the job arrives. A polling executor is at a random point of its second.
  await sleep(waitMs > 0 ? 25 : Math.random() * 1000);
  const startedAt = performance.now();
  const submitted = fetch(`${url}/api/v1/jobs`, {
    method: "POST",
    headers: { authorization: `Bearer ${administratorToken}`, "content-type": "application/json" },
    body: JSON.stringify({ steps: [{ image: "busybox", run: "true" }] }),
  });
  const { job, at } = await taken;
  const response = await submitted;
  if (!response.ok) throw new Error(`submitting answered ${response.status}: ${await response.text()}`);
  await response.arrayBuffer();
  await completeJob(url, job);
  return at - startedAt;
}

async function startSqlFloor(url: string): Promise<{ readonly run: () => Promise<number> } & AsyncDisposable> {
  const producer = new pg.Client(url);
  const listener = new pg.Client(url);
  await producer.connect();
  await listener.connect();
  await producer.query(
    "CREATE TABLE floor_jobs (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, state text NOT NULL, body jsonb)",
  );
  await listener.query("LISTEN floor_jobs");
  return {
    run: async () => {
      const startedAt = performance.now();
      const notified = once(listener, "notification");
      await producer.query("BEGIN");
      await producer.query("INSERT INTO floor_jobs (state, body) VALUES ('queued', $1)", [
        { image: "busybox", run: "true" },
      ]);
      await producer.query("NOTIFY floor_jobs");
      await producer.query("COMMIT");
      await notified;
      const { rowCount } = await listener.query(
        `UPDATE floor_jobs SET state = 'processing' WHERE id =
           (SELECT id FROM floor_jobs WHERE state = 'queued' ORDER BY id FOR UPDATE SKIP LOCKED LIMIT 1) RETURNING *`,
      );
      const ms = performance.now() - startedAt;
      if (rowCount !== 1) throw new Error("the floor's job was not there");
      await producer.query("DELETE FROM floor_jobs");
      return ms;
    },
    async [Symbol.asyncDispose]() {
      await producer.end();
      await listener.end();
    },
  };
}
