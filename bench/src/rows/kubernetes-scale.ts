import type { BenchOptions } from "../measuring/bench-options.ts";
import type { BenchResult } from "../measuring/result.ts";
import { submitJob } from "./jobs.ts";
import { image, openKubernetesWorld } from "./kubernetes-world.ts";
import { pssOf } from "./microvm-world.ts";

const jobs = 200;
/** Each pod needs 60 millicores of the node. The others wait for a node with more processors. */
const running = 28;
const observedMs = 60_000;

/**
 * Memory of one executor that holds 200 jobs, and its requests to the API server while nothing changes. A single node
 * can't run all of them, so most of them wait for a node.
 */
export async function kubernetesScale(options: BenchOptions): Promise<BenchResult> {
  options.progress("starting a cluster, PostgreSQL, an instance and an executor");
  await using world = await openKubernetesWorld();
  const settings = { EXECUTOR_MAXIMUM_NUM_JOBS: String(jobs), EXECUTOR_KUBERNETES_SCHEDULING_TIMEOUT: "1h" };
  const executor = await world.startExecutor({
    ...settings,
    EXECUTOR_KUBERNETES_START_TIMEOUT: "10m",
    EXECUTOR_KUBERNETES_RESOURCE_LIMIT_CPU: "64",
    EXECUTOR_KUBERNETES_RESOURCE_REQUEST_CPU: "64",
  });
  // Its jobs never end, and the cluster ends with this row.
  await using _ = { [Symbol.asyncDispose]: () => executor.kill() };
  const { url } = world.instance;
  const idle = pssOf(executor.pid);
  const total = () => [...world.requests.values()].reduce((sum, count) => sum + count, 0);
  const pods = async (phase: string) => {
    const words = ["get", "pods", "--field-selector", `status.phase=${phase}`, "-o", "name"];
    return (await world.kubectl(...words)).split("\n").filter(Boolean).length;
  };

  const submit = (cpus: number) =>
    submitJob(url, {
      steps: [{ key: "s", image, run: "echo started; sleep 3600" }],
      egress: "none",
      resources: { cpus },
    });
  const startedAt = performance.now();
  for (let index = 0; index < running; index += 1) await submit(0.01);
  for (let index = running; index < jobs; index += 1) await submit(64);
  for (;;) {
    const [runs, waits] = [await pods("Running"), await pods("Pending")];
    options.progress(`${runs} pods run, ${waits} wait`);
    if (runs === running && waits === jobs - running) break;
    if (performance.now() - startedAt > 600_000) throw new Error(`only ${runs} pods run, and ${waits} wait`);
    await new Promise((resolve) => setTimeout(resolve, 1_000));
  }
  const startedMs = performance.now() - startedAt;
  const untilHeld = total();
  options.progress("watching the requests");
  const memory: number[] = [];
  for (let waited = 0; waited < observedMs; waited += 5_000) {
    await new Promise((resolve) => setTimeout(resolve, 5_000));
    memory.push(pssOf(executor.pid));
  }
  const whileHeld = total() - untilHeld;
  return {
    bench: `kubernetes-scale: memory of one executor with ${jobs} jobs`,
    unit: "MB",
    rounds: memory.length,
    samples: [
      { name: "executor without jobs", values: [idle] },
      { name: `executor with ${jobs} jobs`, values: memory },
    ],
    comparisons: [],
    notes: [
      `${running} of the pods run a step, and ${jobs - running} wait for a node.`,
      `Until then the executor sent ${untilHeld} requests to the API server in ${(startedMs / 1000).toFixed(0)} s, then ${whileHeld} in ${observedMs / 1000} s.`,
    ],
  };
}
