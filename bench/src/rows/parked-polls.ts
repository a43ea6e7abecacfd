import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { request } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { createDatabase, startEngines } from "@airlock/test-kit";
import type { BenchOptions } from "../measuring/bench-options.ts";
import { percentile, runPaired } from "../measuring/paired.ts";
import type { BenchResult } from "../measuring/result.ts";
import { administratorToken, type BenchInstance, executorSecret, startInstance } from "./bench-instance.ts";

const polls = 2000;
const pollMs = 50_000;
const restMs = 3000;
const targetMegabytes = 250;
const targetP99Ms = 100;
/** The flags with which `airlock server` and `airlock dev` start an instance. */
const nodeFlags = ["--max-semi-space-size=4"];

/**
 * Time from the submission of a job until one of 2,000 executors with a parked long poll has it. Also measures the
 * instance's memory for those polls.
 */
export async function parkedPolls(options: BenchOptions): Promise<BenchResult> {
  const rounds = options.rounds ?? 300;
  await using cleanup = new AsyncDisposableStack();
  const { engines } = cleanup.use(await startEngines(["postgres"]));
  if (!engines.postgres) throw new Error(`this row needs PostgreSQL: ${engines.missing.postgres}`);
  const database = cleanup.use(await createDatabase(engines.postgres.url));
  const instance = cleanup.use(await startInstance(database.url, nodeFlags));
  const before = await residentMegabytes(instance);
  const stopping = new AbortController();
  const executors = new ParkedExecutors(instance.url, stopping.signal);
  cleanup.defer(async () => {
    stopping.abort();
    await executors.ended();
  });
  options.progress(`parking ${polls} polls`);
  for (let index = 0; index < polls; index += 1) {
    executors.start(`bench-${index}`);
    if (index % 100 === 99) await sleep(50);
  }
  await untilParked(instance.url);
  await sleep(restMs);
  const parked = await residentMegabytes(instance);
  const samples = await runPaired([{ name: "dispatch", run: () => measureDispatch(instance.url, executors) }], {
    rounds,
    warmup: 20,
    progress: options.progress,
  });
  await sleep(restMs);
  const after = await residentMegabytes(instance);
  const p99 = percentile(samples[0]?.values ?? [], 99);
  const worst = Math.max(parked, after);
  return {
    bench: `parked-polls: enqueue → one of ${polls} parked long polls has the job`,
    rounds,
    samples,
    comparisons: [],
    notes: [
      `Resident memory of the instance: ${before.toFixed(0)} MB alone, ${parked.toFixed(0)} MB with ${polls} parked, ${after.toFixed(0)} MB after ${rounds} dispatches. Target: ≤ ${targetMegabytes} MB: ${worst <= targetMegabytes ? "reached" : "missed"}.`,
      `Target: p99 ≤ ${targetP99Ms} ms: ${p99 <= targetP99Ms ? "reached" : "missed"}.`,
    ],
  };
}

interface HandedOut {
  readonly id: number;
  readonly token: string;
  readonly executor: string;
  readonly at: number;
}

/** Executors that poll repeatedly, each on its own connection, and don't run the jobs. */
class ParkedExecutors {
  readonly #url: string;
  readonly #signal: AbortSignal;
  readonly #loops: Promise<void>[] = [];
  #onJob: (job: HandedOut) => void = () => {};

  constructor(url: string, signal: AbortSignal) {
    this.#url = url;
    this.#signal = signal;
  }

  start(executor: string): void {
    this.#loops.push(this.#poll(executor));
  }

  nextJob(): Promise<HandedOut> {
    return new Promise((resolve) => {
      this.#onJob = resolve;
    });
  }

  async ended(): Promise<void> {
    await Promise.all(this.#loops);
  }

  async #poll(executor: string): Promise<void> {
    while (!this.#signal.aborted) {
      try {
        const job = await this.#ask(executor);
        if (job) this.#onJob({ ...job, executor, at: performance.now() });
      } catch (error) {
        if (!this.#signal.aborted) throw error;
      }
    }
  }

  async #ask(executorName: string): Promise<{ readonly id: number; readonly token: string } | null> {
    const call = request(`${this.#url}/.executors/queue/default/dequeue`, {
      method: "POST",
      agent: false,
      signal: this.#signal,
      headers: { authorization: `token-executor ${executorSecret}`, "content-type": "application/json" },
    });
    call.end(JSON.stringify({ executorName, version: "5.3.0", airlock: { waitMs: pollMs } }));
    const [response] = await once(call, "response");
    let text = "";
    for await (const part of response) text += part;
    if (response.statusCode !== 200 && response.statusCode !== 204) {
      throw new Error(`dequeue answered ${response.statusCode}: ${text}`);
    }
    return text === "" ? null : JSON.parse(text);
  }
}

async function measureDispatch(url: string, executors: ParkedExecutors): Promise<number> {
  const handedOut = executors.nextJob();
  const startedAt = performance.now();
  const submitted = await fetch(`${url}/api/v1/jobs`, {
    method: "POST",
    headers: { authorization: `Bearer ${administratorToken}`, "content-type": "application/json" },
    body: JSON.stringify({ steps: [{ image: "busybox", run: "true" }] }),
  });
  if (!submitted.ok) throw new Error(`submitting answered ${submitted.status}: ${await submitted.text()}`);
  await submitted.arrayBuffer();
  const job = await handedOut;
  const marked = await fetch(`${url}/.executors/queue/default/markComplete`, {
    method: "POST",
    headers: {
      authorization: `Bearer ${job.token}`,
      "x-sourcegraph-job-id": String(job.id),
      "x-sourcegraph-executor-name": job.executor,
      "content-type": "application/json",
    },
    body: JSON.stringify({ executorName: job.executor, jobId: job.id }),
  });
  if (marked.status !== 204) throw new Error(`markComplete answered ${marked.status}`);
  return job.at - startedAt;
}

async function untilParked(url: string): Promise<void> {
  for (let tries = 0; tries < 300; tries += 1) {
    const page = await (await fetch(`${url}/metrics`)).text();
    if (Number(/^airlock_dequeue_parked (\d+)$/m.exec(page)?.[1]) >= polls) return;
    await sleep(100);
  }
  throw new Error("not all polls were parked");
}

async function residentMegabytes({ pid }: BenchInstance): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, "utf8");
  return (Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1]) * 1024) / 1e6;
}
