import { execFile } from "node:child_process";
import { mkdir, writeFile } from "node:fs/promises";
import path from "node:path";
import { promisify } from "node:util";
import { copyGuestFiles } from "@airlock/runtime/microvm";
import { busyboxImage, createDatabase, dockerArchive, startEngines } from "@airlock/test-kit";
import type { BenchOptions } from "../measuring/bench-options.ts";
import { runPaired } from "../measuring/paired.ts";
import { type BenchResult, compare } from "../measuring/result.ts";
import { startExecutor } from "./bench-executor.ts";
import { startInstance } from "./bench-instance.ts";
import { completeJob, takeJob } from "./idle-hands.ts";
import { rest, submitJob, untilCompleted } from "./jobs.ts";
import { image, openMicrovmWorld } from "./microvm-world.ts";

const run = promisify(execFile);
const main = path.join(path.dirname(path.dirname(path.dirname(import.meta.dirname))), "apps/executor/src/main.ts");
/** The pool starts the next machine half a second after a job took one. */
const pauseMs = 5_000;

/**
 * Time from the submission of a job with the single step `true` until its submitter sees it completed, with a machine
 * that waits and with one that is restored from a snapshot. Floor: the same with an executor that only dequeues the job
 * and reports its end.
 */
export async function microvmJob(options: BenchOptions): Promise<BenchResult> {
  const rounds = options.rounds ?? 10;
  await using cleanup = new AsyncDisposableStack();
  options.progress("starting PostgreSQL, an instance and executors");
  const { engines } = cleanup.use(await startEngines(["postgres"]));
  if (!engines.postgres) throw new Error(`this row needs PostgreSQL: ${engines.missing.postgres}`);
  const world = cleanup.use(await openMicrovmWorld());
  const database = cleanup.use(await createDatabase(engines.postgres.url));
  const instance = cleanup.use(await startInstance(database.url));
  const { url } = instance;
  const archive = path.join(world.directory, "busybox.tar");
  await writeFile(archive, await dockerArchive(await busyboxImage(), image));
  for (const [name, poolSize] of [
    ["pooled", "1"],
    ["restored", "0"],
  ] as const) {
    await rest(url, "POST", "/queues", { name });
    const dataDir = path.join(world.directory, name);
    await mkdir(dataDir);
    await copyGuestFiles(world.guestDir, path.join(dataDir, "guest"));
    const settings = {
      EXECUTOR_RUNTIME: "microvm",
      EXECUTOR_VM_MONITOR: "qemu",
      EXECUTOR_VM_ACCELERATOR: "tcg",
      EXECUTOR_QEMU: world.qemu,
      EXECUTOR_QUEUE_NAME: name,
      EXECUTOR_VM_POOL_SIZE: poolSize,
      EXECUTOR_JOB_NUM_CPUS: "1",
      EXECUTOR_JOB_MEMORY: "256Mi",
      EXECUTOR_JOB_DISK: "1G",
    };
    const env = { PATH: process.env.PATH, HOME: dataDir, EXECUTOR_DATA_DIR: dataDir, ...settings };
    const needed = { EXECUTOR_FRONTEND_URL: url, EXECUTOR_FRONTEND_PASSWORD: "not used here" };
    await run(process.execPath, [main, "image", "load", archive], { env: { ...env, ...needed } });
    cleanup.use(await startExecutor(instance, { dataDir, label: name, settings }));
  }
  await rest(url, "POST", "/queues", { name: "floor" });

  const timeJob = async (queue: string): Promise<number> => {
    const startedAt = performance.now();
    const id = await submitJob(url, { queue, steps: [{ image, run: "true" }] });
    await untilCompleted(url, id);
    return performance.now() - startedAt;
  };
  const timeHandedOver = async (): Promise<number> => {
    const handled = takeJob(url, "floor", 30_000).then(({ job }) => completeJob(url, job));
    const [ms] = await Promise.all([timeJob("floor"), handled]);
    return ms;
  };
  const samples = await runPaired(
    [
      {
        name: "job, waiting machine",
        run: async () => {
          await new Promise((resolve) => setTimeout(resolve, pauseMs));
          return await timeJob("pooled");
        },
      },
      { name: "job, restored machine", run: () => timeJob("restored") },
      { name: "instance alone", run: timeHandedOver },
    ],
    { rounds, warmup: 2, progress: options.progress },
  );
  return {
    bench: "microvm-job: submit → completed, one step `true` in a virtual machine",
    rounds,
    samples,
    comparisons: [
      compare(samples, "job, waiting machine", "job, restored machine", null),
      compare(samples, "job, waiting machine", "instance alone", null),
    ],
    notes: ["`instance alone`: with an executor that runs nothing.", "The machines have one processor and no network."],
  };
}
