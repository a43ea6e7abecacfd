import { createDatabase, startEngines } from "@airlock/test-kit";
import pg from "pg";
import type { BenchOptions } from "../measuring/bench-options.ts";
import { median, runPaired, type Subject } from "../measuring/paired.ts";
import { type BenchResult, compare } from "../measuring/result.ts";
import { administratorToken, executorSecret, startInstance } from "./bench-instance.ts";

const chunkBytes = 256 * 1024;
const chunksPerBatch = 4;
const batchBytes = chunkBytes * chunksPerBatch;
const megabytesPerRound = 32;
const batches = (megabytesPerRound * 1024 * 1024) / batchBytes;
const executorName = "bench";

/**
 * Measures how fast job output gets from an executor into the database, in batches of 1 MiB, one after another as an
 * executor sends them. Floor: the same bytes from this process into a table of the same shape, over PostgreSQL's own
 * protocol.
 */
export async function logIngest(options: BenchOptions): Promise<BenchResult> {
  const rounds = options.rounds ?? 15;
  await using cleanup = new AsyncDisposableStack();
  options.progress("starting PostgreSQL and an instance");
  const { engines } = cleanup.use(await startEngines(["postgres"]));
  if (!engines.postgres) throw new Error(`this row needs PostgreSQL: ${engines.missing.postgres}`);
  const database = cleanup.use(await createDatabase(engines.postgres.url));
  const floorDatabase = cleanup.use(await createDatabase(engines.postgres.url));
  const instance = cleanup.use(await startInstance(database.url));
  const floor = cleanup.use(await startFloor(floorDatabase.url));
  await rest(instance.url, "PATCH", "/queues/default", { leaseMs: 3_600_000, maxLogBytes: 2 ** 31 });

  const subjects: Subject[] = [
    { name: "log batches", run: () => measureIngest(instance.url) },
    { name: "bare inserts", run: floor.run },
  ];
  const samples = await runPaired(subjects, { rounds, warmup: 2, progress: options.progress });
  const speeds = samples.map(
    ({ name, values }) => `${name}: ${(megabytesPerRound / (median(values) / 1000)).toFixed(0)} MiB/s`,
  );
  return {
    bench: `log-ingest: ${megabytesPerRound} MiB of output into the database`,
    rounds,
    samples,
    comparisons: [compare(samples, "log batches", "bare inserts", null)],
    notes: [
      `${speeds.join("; ")}.`,
      "Both send one request at a time and commit each; on a machine of two cores the sender's own work counts, too.",
    ],
  };
}

/** Log lines that all differ, so that they hardly compress. */
function output(): Buffer {
  const lines: string[] = [];
  for (let length = 0; length < chunkBytes; length += 64) {
    lines.push(`${Math.random().toString(36).slice(2).padEnd(31, "x").repeat(2)}\n`.padStart(64));
  }
  return Buffer.from(lines.join("")).subarray(0, chunkBytes);
}

async function rest(url: string, method: string, path: string, body: unknown): Promise<void> {
  const response = await fetch(`${url}/api/v1${path}`, {
    method,
    headers: { authorization: `Bearer ${administratorToken}`, "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  if (!response.ok) throw new Error(`${method} ${path} answered ${response.status}: ${await response.text()}`);
  await response.arrayBuffer();
}

async function measureIngest(url: string): Promise<number> {
  await rest(url, "POST", "/jobs", { steps: [{ image: "busybox", run: "true" }] });
  const job = (await (
    await executor(url, "dequeue", { executorName, version: "5.3.0" }, `token-executor ${executorSecret}`, 200)
  ).json()) as { id: number; token: string };
  const headers = {
    "x-sourcegraph-job-id": String(job.id),
    "x-sourcegraph-executor-name": executorName,
  };
  const data = output().toString("base64");
  const send = (events: readonly unknown[]) =>
    executor(url, "logs", { executorName, jobId: job.id, attempt: 1, events }, `Bearer ${job.token}`, 204, headers);
  const startTime = new Date().toISOString();
  await send([{ kind: "open", entryId: 1, key: "step.docker.main", command: ["sh"], startTime }]);
  const startedAt = performance.now();
  for (let batch = 0; batch < batches; batch += 1) {
    await send(
      Array.from({ length: chunksPerBatch }, (_, index) => ({
        kind: "chunk",
        entryId: 1,
        offset: batch * batchBytes + index * chunkBytes,
        stream: "stdout",
        data,
      })),
    );
  }
  const ms = performance.now() - startedAt;
  await executor(url, "markComplete", { executorName, jobId: job.id }, `Bearer ${job.token}`, 204, headers);
  return ms;
}

async function executor(
  url: string,
  route: string,
  body: unknown,
  authorization: string,
  status: number,
  headers: Readonly<Record<string, string>> = {},
): Promise<Response> {
  const response = await fetch(`${url}/.executors/queue/default/${route}`, {
    method: "POST",
    headers: { authorization, "content-type": "application/json", ...headers },
    body: JSON.stringify(body),
  });
  if (response.status !== status) throw new Error(`${route} answered ${response.status}: ${await response.text()}`);
  return response;
}

async function startFloor(url: string): Promise<{ readonly run: () => Promise<number> } & AsyncDisposable> {
  const client = new pg.Client(url);
  await client.connect();
  await client.query(`create table floor_chunks (
    job bigint not null, "offset" bigint not null, bytes bytea not null, primary key (job, "offset"))`);
  await client.query("alter table floor_chunks alter column bytes set storage external");
  let job = 0;
  return {
    async run() {
      job += 1;
      const bytes = output();
      const startedAt = performance.now();
      for (let batch = 0; batch < batches; batch += 1) {
        await client.query("begin");
        for (let index = 0; index < chunksPerBatch; index += 1) {
          await client.query({
            name: "floor",
            text: 'insert into floor_chunks (job, "offset", bytes) values ($1, $2, $3)',
            values: [job, batch * batchBytes + index * chunkBytes, bytes],
          });
        }
        await client.query("commit");
      }
      return performance.now() - startedAt;
    },
    [Symbol.asyncDispose]: () => client.end(),
  };
}
