import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { createDatabase, startEngines, temporaryDirectory } from "@airlock/test-kit";
import type { BenchOptions } from "../measuring/bench-options.ts";
import { runPaired } from "../measuring/paired.ts";
import { type BenchResult, compare } from "../measuring/result.ts";
import { type BenchExecutor, startExecutor } from "./bench-executor.ts";
import { type BenchInstance, startInstance } from "./bench-instance.ts";
import { rest, type SeenJob, submitJob, untilJob } from "./jobs.ts";

const leaseMs = 5000;
const graceMs = 2000;
const labels = ["one", "two"] as const;

/** Time from SIGKILL of an executor in the middle of a job until another one has the job's next attempt. */
export async function killedExecutor(options: BenchOptions): Promise<BenchResult> {
  const rounds = options.rounds ?? 5;
  await using cleanup = new AsyncDisposableStack();
  const { engines } = cleanup.use(await startEngines(["postgres", "oci"]));
  if (!engines.postgres) throw new Error(`this row needs PostgreSQL: ${engines.missing.postgres}`);
  const directory = cleanup.use(await temporaryDirectory("airlock-bench-"));
  const database = cleanup.use(await createDatabase(engines.postgres.url));
  const instance = cleanup.use(await startInstance(database.url));
  await rest(instance.url, "PATCH", "/queues/default", { leaseMs });
  const executors = new Map<string, BenchExecutor>();
  const start = async (label: string, generation: number): Promise<void> => {
    // Reuse the data directory, so that leftovers of the previous executor are collected at the start.
    const dataDir = path.join(directory.path, label);
    executors.set(label, await startExecutor(instance, { dataDir, label: `${label}-${generation}` }));
  };
  cleanup.defer(async () => {
    for (const executor of executors.values()) await executor[Symbol.asyncDispose]();
  });

  let generation = 0;
  await start(labels[0], generation);
  const samples = await runPaired(
    [
      {
        name: "killed → next attempt",
        run: async () => {
          // The only waiting executor takes the job. The other one starts once the job runs.
          const [victim, heir] = generation % 2 === 0 ? labels : ([labels[1], labels[0]] as const);
          const id = await submitJob(instance.url, { steps: [{ image: "host", run: "sleep 60" }] });
          await untilRuns(instance, id);
          generation += 1;
          await start(heir, generation);
          const next = untilJob(instance.url, id, ({ attempt, state }) => attempt === 2 && state === "processing");
          const startedAt = performance.now();
          await executors.get(victim)?.kill();
          executors.delete(victim);
          await next;
          const ms = performance.now() - startedAt;
          const ended = untilJob(instance.url, id, ({ state }) => state === "canceled");
          await rest(instance.url, "POST", `/jobs/${id}/cancel`);
          await ended;
          return ms;
        },
      },
      { name: "lease", run: async () => leaseMs },
    ],
    { rounds, warmup: 0, progress: options.progress },
  );
  // Start a successor that collects the leftovers of the last victim.
  const last = generation % 2 === 0 ? labels[1] : labels[0];
  await start(last, generation + 1);
  return {
    bench: "killed-executor: SIGKILL → the job's next attempt",
    rounds,
    samples,
    comparisons: [compare(samples, "killed → next attempt", "lease", (leaseMs + graceMs) / leaseMs)],
    notes: [`Target: ≤ lease + ${graceMs / 1000} s, with a lease of ${leaseMs / 1000} s (the default is 15 s).`],
  };
}

async function untilRuns(instance: BenchInstance, id: number): Promise<void> {
  for (;;) {
    const { entries } = await rest<SeenJob>(instance.url, "GET", `/jobs/${id}`);
    if (entries.some(({ key }) => key.startsWith("step."))) return;
    await sleep(50);
  }
}
