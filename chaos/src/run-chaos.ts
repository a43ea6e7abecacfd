import { setTimeout as sleep } from "node:timers/promises";
import type { JobView } from "@airlock/api";
import { isFinished } from "@airlock/job";
import { temporaryDirectory } from "@airlock/test-kit";
import { findFiles, findLeftovers } from "./leftovers.ts";
import { PersistentClient } from "./persistent-client.ts";
import { type Blow, jobScript, planBlows, planJobs, type Victim } from "./plan.ts";
import { seededRandom } from "./random.ts";
import { findFaults } from "./verify.ts";
import { type ChaosRuntime, jobImage, startWorld, type World } from "./world.ts";

export interface ChaosOptions {
  readonly seed: number;
  /** Runtime of the executors. */
  readonly runtime: ChaosRuntime;
  readonly jobs: number;
  readonly instances: number;
  readonly executors: number;
  readonly slots: number;
  /** Factor of the time between faults, so that slow jobs end between them. Default: the runtime's. */
  readonly patience?: number;
  /** Number of faults after which nothing fails any more. Default: no limit. */
  readonly maximumBlows?: number;
  /** Time limit for the whole run in milliseconds. */
  readonly timeoutMs: number;
  /** Keeps data directories and logs, to investigate failures. */
  readonly keep: boolean;
  readonly progress: (text: string) => void;
}

export interface ChaosReport {
  readonly jobs: number;
  readonly attempts: number;
  readonly blows: Readonly<Record<Victim, number>>;
  /** E.g. `job 17: 3 of 40 lines are missing from the log`. */
  readonly faults: readonly string[];
  readonly leftovers: readonly string[];
  /** Milliseconds from the death of an executor to the start of its job's next attempt, one per lost attempt. */
  readonly recoveryMs: readonly number[];
  readonly directory: string;
  readonly seconds: number;
}

const collectionMs = 30_000;
/** A job in a virtual machine without KVM takes seconds. */
const usualPatience: Readonly<Record<ChaosRuntime, number>> = { oci: 1, microvm: 6 };

export async function runChaos(options: ChaosOptions): Promise<ChaosReport> {
  const startedAt = Date.now();
  const random = seededRandom(options.seed);
  const plans = planJobs(random, options.jobs);
  const directory = await temporaryDirectory("airlock-chaos-");
  await using cleanup = new AsyncDisposableStack();
  if (!options.keep) cleanup.use(directory);
  options.progress("starting the world");
  const world = cleanup.use(await startWorld({ ...options, directory: directory.path }));

  const over = new AbortController();
  const signal = AbortSignal.any([over.signal, AbortSignal.timeout(options.timeoutMs)]);
  const client = new PersistentClient(world.url, signal);
  await client.allowAnyNumberOfLosses("default");
  const blows: Record<Victim, number> = { executor: 0, instance: 0, database: 0, connections: 0 };
  const deaths: ExecutorDeath[] = [];
  const counts = { ...options, patience: options.patience ?? usualPatience[options.runtime] };
  const planned = planBlows(random, counts).take(options.maximumBlows ?? Number.POSITIVE_INFINITY);
  const striking = strikeUntilOver(world, planned, signal, ({ victim, index }) => {
    blows[victim] += 1;
    if (victim === "executor") deaths.push({ executor: index, at: Date.now() });
  });

  const ids: number[] = [];
  for (const [index, plan] of plans.entries()) {
    const steps = [{ key: "main", image: jobImage[options.runtime], run: jobScript(plan) }];
    const spec = { steps, resources: { memory: "128Mi" } };
    ids.push(await client.submit(spec, `chaos-${options.seed}-${index}`));
    options.progress(`submitted ${index + 1} of ${plans.length}`);
  }
  const faults: string[] = [];
  const histories: JobView["attempts"][] = [];
  for (const [index, plan] of plans.entries()) {
    const id = ids[index] ?? 0;
    let view = await client.job(id);
    while (!isFinished(view.state)) {
      options.progress(`${index} of ${plans.length} ended; job ${id}: ${view.explanation.message}`);
      await sleep(200, undefined, { signal });
      view = await client.job(id);
    }
    // Log delivery may still be in progress for a moment after the end. Only the final log counts.
    const entry = view.entries.filter(({ attempt, key }) => attempt === view.attempt && key.endsWith(".main")).at(-1);
    const log = entry ? await client.log(id, view.attempt, entry.entryId) : "";
    faults.push(...findFaults({ plan, view, log }).map((fault) => `job ${id} (${plan.name}): ${fault}`));
    histories.push(view.attempts);
  }
  const executorIndexes = await client.executorIndexes();
  over.abort(new Error("all jobs have ended"));
  await striking;
  if (new Set(ids).size !== ids.length) faults.push("two submissions became one job");
  options.progress("stopping, looking for leftovers");
  await world.recover();
  // Executors that were restarted last collect leftovers at their start. Then stop them like a service.
  await untilCollected(world.executorDirectories);
  await world.stopExecutors();
  const leftovers = await findLeftovers(world.executorDirectories);
  return {
    jobs: plans.length,
    attempts: histories.flat().length,
    blows,
    faults,
    leftovers,
    recoveryMs: histories.flatMap((attempts) => findRecoveries(attempts, deaths, executorIndexes)),
    directory: directory.path,
    seconds: (Date.now() - startedAt) / 1000,
  };
}

/** Waits until executors have collected what earlier ones left. What they don't collect in time is a leftover. */
async function untilCollected(executorDirectories: readonly string[]): Promise<void> {
  const deadline = Date.now() + collectionMs;
  while (Date.now() < deadline && (await findFiles(executorDirectories)).length > 0) await sleep(200);
}

async function strikeUntilOver(
  world: World,
  blows: Iterable<Blow>,
  signal: AbortSignal,
  onBlow: (blow: Blow) => void,
): Promise<void> {
  const startedAt = Date.now();
  const pending: Promise<void>[] = [];
  for (const blow of blows) {
    const waitMs = Math.max(0, startedAt + blow.atMs - Date.now());
    const waited = await sleep(waitMs, true, { signal }).catch(() => false);
    if (!waited) break;
    onBlow(blow);
    pending.push(world.strike(blow));
  }
  await Promise.all(pending);
}

interface ExecutorDeath {
  readonly executor: number;
  readonly at: number;
}

/** Milliseconds from the death of an executor to the start of the next attempt, for each lost attempt. */
function findRecoveries(
  attempts: JobView["attempts"],
  deaths: readonly ExecutorDeath[],
  executorIndexes: ReadonlyMap<string, number>,
): number[] {
  return attempts.flatMap((attempt, index) => {
    const next = attempts[index + 1];
    if (attempt.failureReason !== "lease-lost" || !next) return [];
    const executor = executorIndexes.get(attempt.executor);
    const death = deaths.find((each) => each.executor === executor && each.at > Date.parse(attempt.startedAt));
    return death === undefined ? [] : [Date.parse(next.startedAt) - death.at];
  });
}
