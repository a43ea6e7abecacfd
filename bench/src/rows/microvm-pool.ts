import type { BenchOptions } from "../measuring/bench-options.ts";
import { runPaired, type Sample } from "../measuring/paired.ts";
import { type BenchResult, compare } from "../measuring/result.ts";
import { egress, limits, openMicrovmWorld, runStep, untilReady } from "./microvm-world.ts";

/** What a machine from the pool may cost beside the step. */
const allowedMs = 100;

/**
 * Time of a job's sandbox and first step with a machine that waits, and with one that is restored from a snapshot. Floor
 * of the first: 100 ms and the same step in the restored machine.
 */
export async function microvmPool(options: BenchOptions): Promise<BenchResult> {
  const rounds = options.rounds ?? 10;
  await using cleanup = new AsyncDisposableStack();
  options.progress("starting machines");
  const world = cleanup.use(await openMicrovmWorld());
  const runtime = await world.open("pool");
  cleanup.defer(() => runtime.close());
  const times = { pooledStep: 0, restoredStep: 0, restoredAll: 0, pooledAll: 0 };

  const timed = async () => {
    const startedAt = performance.now();
    await using sandbox = await world.createSandbox(runtime);
    const createdAt = performance.now();
    await runStep(sandbox);
    return { sandbox: createdAt - startedAt, step: performance.now() - createdAt };
  };
  const pooled = async (): Promise<number> => {
    const like = { limits, egress };
    await using ready = runtime.keepReady?.({ owner: world.owner, count: 1, like }) ?? null;
    if (!ready) throw new Error("this runtime keeps no machines ready");
    await untilReady(ready, 1);
    const { sandbox, step } = await timed();
    if (ready.counts.hits !== 1) throw new Error("the job did not get the machine that waited");
    times.pooledStep = step;
    times.pooledAll = sandbox + step;
    return sandbox;
  };
  const restored = async (): Promise<number> => {
    const { sandbox, step } = await timed();
    times.restoredStep = step;
    times.restoredAll = sandbox + step;
    return sandbox;
  };
  const samples = await runPaired(
    [
      { name: "sandbox, waiting machine", run: pooled },
      { name: "sandbox, restored machine", run: restored },
      { name: "step, waiting machine", run: async () => times.pooledStep },
      { name: "step, restored machine", run: async () => times.restoredStep },
      { name: "both, waiting machine", run: async () => times.pooledAll },
      { name: "both, restored machine", run: async () => times.restoredAll },
    ],
    { rounds, warmup: 1, progress: options.progress },
  );
  const all = [...samples, plus(`${allowedMs} ms and step, restored machine`, allowedMs, samples[3])];
  return {
    bench: "microvm-pool: a job's machine from the pool",
    rounds,
    samples: all,
    comparisons: [
      compare(all, "both, waiting machine", `${allowedMs} ms and step, restored machine`, 1),
      compare(all, "both, waiting machine", "both, restored machine", null),
    ],
    notes: ["The step runs `echo hi`, its image's disk is made already, and the machine has no network."],
  };
}

function plus(name: string, ms: number, sample: Sample | undefined): Sample {
  return { name, values: (sample?.values ?? []).map((value) => value + ms) };
}
