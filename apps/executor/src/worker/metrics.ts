import type { EgressDenial, ReadyCounts } from "@airlock/runtime";
import type { JobOutcome } from "../job/job-outcome.ts";
import { OperationMetrics } from "./operation-metrics.ts";

const bucketSeconds = [30, 60, 150, 300, 450, 600, 900, 1200, 1800, 2700, 3600];

/** Counters of this process, under the names that the protocol's dashboards use. */
export class Metrics {
  readonly #queue: string;
  readonly #jobs = new Map<JobOutcome["kind"], number>();
  readonly #buckets: number[] = bucketSeconds.map(() => 0);
  #count = 0;
  #sumSeconds = 0;
  readonly #denials = { connection: 0, name: 0, limit: 0 };
  #egressProblems = 0;
  #incompleteLogs = 0;
  #ready: (() => ReadyCounts) | undefined;
  readonly #commands = new OperationMetrics("src_apiworker_command");
  readonly #requests = new OperationMetrics("src_apiworker_apiclient_queue");

  constructor(queues: readonly string[]) {
    this.#queue = [...queues].sort().join("_");
  }

  countJob(outcome: JobOutcome["kind"], durationMs: number): void {
    this.#jobs.set(outcome, (this.#jobs.get(outcome) ?? 0) + 1);
    this.#count += 1;
    this.#sumSeconds += durationMs / 1000;
    for (const [index, limit] of bucketSeconds.entries()) {
      if (durationMs / 1000 <= limit) this.#buckets[index] = (this.#buckets[index] ?? 0) + 1;
    }
  }

  /** Counts a destination or name that the egress policy denied, or a network limit that a job reached. */
  countDenial(kind: EgressDenial["kind"]): void {
    this.#denials[kind] += 1;
  }

  /** Counts a repair of network rules, successful or not. */
  countEgressProblem(): void {
    this.#egressProblems += 1;
  }

  /** Counts a job whose log was not delivered completely. */
  countIncompleteLog(): void {
    this.#incompleteLogs += 1;
  }

  /** Counts the end of a log entry by its key. All steps count as one operation. */
  countCommand(key: string, exitCode: number, durationMs: number): void {
    this.#commands.observe(key.startsWith("step.") ? "exec" : key, durationMs, exitCode !== 0);
  }

  /** Counts a request to the instance. Requests for a job include the time that they are held open. */
  countRequest(operation: string, failed: boolean, durationMs: number): void {
    this.#requests.observe(operation, durationMs, failed);
  }

  /** Adds metrics about sandboxes that wait for jobs. They are not running jobs. */
  watchReady(counts: () => ReadyCounts): void {
    this.#ready = counts;
  }

  /** Returns all metrics in Prometheus' text format. */
  text(runningJobs: number): string {
    const queue = `queue="${this.#queue}"`;
    const name = "src_executor_processor";
    const errors = this.#jobs.get("errored") ?? 0;
    return [
      `# TYPE ${name}_total counter`,
      `${name}_total{${queue}} ${this.#count}`,
      `# TYPE ${name}_errors_total counter`,
      `${name}_errors_total{${queue}} ${errors}`,
      `# TYPE ${name}_handlers gauge`,
      `${name}_handlers{${queue}} ${runningJobs}`,
      `# TYPE ${name}_duration_seconds histogram`,
      ...bucketSeconds.map(
        (limit, index) => `${name}_duration_seconds_bucket{${queue},le="${limit}"} ${this.#buckets[index]}`,
      ),
      `${name}_duration_seconds_bucket{${queue},le="+Inf"} ${this.#count}`,
      `${name}_duration_seconds_sum{${queue}} ${this.#sumSeconds}`,
      `${name}_duration_seconds_count{${queue}} ${this.#count}`,
      ...this.#commands.lines(),
      ...this.#requests.lines(),
      "# TYPE airlock_executor_egress_denied_total counter",
      ...Object.entries(this.#denials).map(
        ([kind, count]) => `airlock_executor_egress_denied_total{${queue},kind="${kind}"} ${count}`,
      ),
      "# TYPE airlock_executor_egress_problems_total counter",
      `airlock_executor_egress_problems_total{${queue}} ${this.#egressProblems}`,
      "# TYPE airlock_executor_logs_incomplete_total counter",
      `airlock_executor_logs_incomplete_total{${queue}} ${this.#incompleteLogs}`,
      ...(this.#ready ? readyLines(this.#ready(), queue) : []),
      "",
    ].join("\n");
  }
}

function readyLines({ ready, hits, misses }: ReadyCounts, queue: string): readonly string[] {
  const name = "airlock_executor_vm_pool";
  return [
    `# TYPE ${name}_ready gauge`,
    `${name}_ready{${queue}} ${ready}`,
    `# TYPE ${name}_jobs_total counter`,
    `${name}_jobs_total{${queue},result="hit"} ${hits}`,
    `${name}_jobs_total{${queue},result="miss"} ${misses}`,
  ];
}
