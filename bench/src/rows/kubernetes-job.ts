import type { BenchOptions } from "../measuring/bench-options.ts";
import { runPaired } from "../measuring/paired.ts";
import { type BenchResult, compare } from "../measuring/result.ts";
import { submitJob, untilCompleted } from "./jobs.ts";
import { image, openKubernetesWorld } from "./kubernetes-world.ts";

/**
 * Time from the submission of a job until its submitter sees it completed, with one step `true` and with five. Floor: a
 * bare pod with the same image, by `kubectl run`. The notes count the executor's requests to the API server.
 */
export async function kubernetesJob(options: BenchOptions): Promise<BenchResult> {
  const rounds = options.rounds ?? 8;
  options.progress("starting a cluster, PostgreSQL, an instance and an executor");
  await using world = await openKubernetesWorld();
  await using _ = await world.startExecutor({});
  const { url } = world.instance;
  const sent = new Map<number, number>();
  const total = () => [...world.requests.values()].reduce((sum, count) => sum + count, 0);

  const timeJob = async (count: number): Promise<number> => {
    const before = total();
    const startedAt = performance.now();
    const steps = Array.from({ length: count }, (_step, index) => ({ key: `s${index}`, image, run: "true" }));
    const id = await submitJob(url, { steps, egress: "none", resources: { cpus: 0.5 } });
    await untilCompleted(url, id);
    const ms = performance.now() - startedAt;
    sent.set(count, (sent.get(count) ?? 0) + total() - before);
    return ms;
  };
  const timeBarePod = async (round: number): Promise<number> => {
    const startedAt = performance.now();
    await world.kubectl(
      ...["run", `bare-${round + 10}`, `--image=${image}`, "--image-pull-policy=Never", "--restart=Never"],
      ...["--attach", "--rm", "--quiet", "--command", "--", "/bin/true"],
    );
    return performance.now() - startedAt;
  };
  const samples = await runPaired(
    [
      { name: "job, one step", run: () => timeJob(1) },
      { name: "job, five steps", run: () => timeJob(5) },
      { name: "kubectl run", run: timeBarePod },
    ],
    { rounds, warmup: 1, progress: options.progress },
  );
  const perJob = (count: number) => ((sent.get(count) ?? 0) / (rounds + 1)).toFixed(1);
  const kinds = [...world.requests].map(([kind, count]) => `${kind} ${count}`).join(", ");
  return {
    bench: "kubernetes-job: submit → completed in a pod, one step and five steps `true`",
    rounds,
    samples,
    comparisons: [
      compare(samples, "job, one step", "kubectl run", null),
      compare(samples, "job, five steps", "kubectl run", null),
    ],
    notes: [
      `The executor sent ${perJob(1)} requests to the API server for a job with one step, and ${perJob(5)} for five.`,
      `All of its requests: ${kinds}.`,
    ],
  };
}
