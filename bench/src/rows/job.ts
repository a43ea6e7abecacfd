import path from "node:path";
import { busyboxImage, createDatabase, startEngines, temporaryDirectory } from "@airlock/test-kit";
import type { BenchOptions } from "../measuring/bench-options.ts";
import { runPaired, type Sample } from "../measuring/paired.ts";
import { type BenchResult, compare } from "../measuring/result.ts";
import { bareBundle, prepareBareHost } from "./bare-runtime.ts";
import { startExecutor } from "./bench-executor.ts";
import { startInstance } from "./bench-instance.ts";
import { completeJob, takeJob } from "./idle-hands.ts";
import { rest, submitJob, untilCompleted } from "./jobs.ts";

/**
 * Time from the submission of a job with the single step `true` until its submitter sees it completed, with everything
 * warm. Floors of its parts: the same with an executor that only dequeues the job and reports its end, and the bare OCI
 * runtime.
 */
export async function job(options: BenchOptions): Promise<BenchResult> {
  const rounds = options.rounds ?? 40;
  await using cleanup = new AsyncDisposableStack();
  options.progress("starting PostgreSQL, an instance and an executor");
  const { engines } = cleanup.use(await startEngines(["postgres", "oci"]));
  if (!engines.postgres || !engines.oci) throw new Error("this row needs PostgreSQL and an OCI runtime");
  const directory = cleanup.use(await temporaryDirectory("airlock-bench-"));
  const database = cleanup.use(await createDatabase(engines.postgres.url));
  const { url, ...instance } = cleanup.use(await startInstance(database.url));
  cleanup.use(
    await startExecutor({ url, ...instance }, { dataDir: path.join(directory.path, "executor"), label: "one" }),
  );
  await rest(url, "POST", "/queues", { name: "floor" });
  const host = cleanup.use(await prepareBareHost());
  const { plainLayers } = await busyboxImage();
  const bundle = path.join(directory.path, "bundle");
  const bare = await bareBundle(engines.oci.runtimePath, bundle, plainLayers, host.prefix);

  const samples = await runPaired(
    [
      { name: "job", run: () => timeJob(url, "default") },
      { name: "instance alone", run: () => timeHandedOver(url) },
      bare,
    ],
    { rounds, warmup: 3, progress: options.progress },
  );
  const all = [...samples, sumOf("floors", samples.slice(1))];
  return {
    bench: "job: submit → completed, one step `true`",
    rounds,
    samples: all,
    comparisons: [compare(all, "job", "floors", 1.2)],
    notes: [
      "`instance alone`: submit, long poll, completion and the submitter's event stream, with an executor that runs nothing.",
      "`floors`: that and the bare OCI runtime, round by round. A workspace, log entries and their giving back have no floor in it.",
    ],
  };
}

async function timeJob(url: string, queue: string): Promise<number> {
  const startedAt = performance.now();
  const id = await submitJob(url, { queue, steps: [{ image: "host", run: "true" }] });
  await untilCompleted(url, id);
  return performance.now() - startedAt;
}

async function timeHandedOver(url: string): Promise<number> {
  const handled = takeJob(url, "floor", 30_000).then(({ job }) => completeJob(url, job));
  const [ms] = await Promise.all([timeJob(url, "floor"), handled]);
  return ms;
}

function sumOf(name: string, samples: readonly Sample[]): Sample {
  const values = samples[0]?.values ?? [];
  const at = (index: number) => samples.reduce((sum, sample) => sum + (sample.values[index] ?? Number.NaN), 0);
  return { name, values: values.map((_, index) => at(index)) };
}
