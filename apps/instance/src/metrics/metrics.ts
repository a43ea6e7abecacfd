import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";
import { formatPushedMetrics, type PushedMetrics } from "./pushed-metrics.ts";

/** The instance's metrics. Those on dashboards of the executor protocol keep their names. */
export class Metrics {
  readonly registry = new Registry();

  readonly queueDemand = new Gauge({
    name: "src_executors_queue_size",
    help: "Waiting and running jobs of a queue, for autoscaling executors.",
    labelNames: ["queue"],
    registers: [this.registry],
  });

  readonly queueSize = new Gauge({
    name: "src_executor_total",
    help: "Waiting jobs of a queue.",
    labelNames: ["queue"],
    registers: [this.registry],
  });
  readonly queueAge = new Gauge({
    name: "src_executor_queued_duration_seconds_total",
    help: "Age of the oldest waiting job of a queue.",
    labelNames: ["queue"],
    registers: [this.registry],
  });
  readonly queueDepth = new Gauge({
    name: "src_workerutil_queue_depth",
    help: "Waiting jobs of a queue, under the name that newer dashboards use.",
    labelNames: ["domain"],
    registers: [this.registry],
  });
  readonly recentDequeues = new Gauge({
    name: "multiqueue_executor_dequeue_cache_size",
    help: "Jobs of a queue that executors took in the last 5 minutes.",
    labelNames: ["queue"],
    registers: [this.registry],
  });
  readonly processing = new Gauge({
    name: "airlock_jobs_processing",
    help: "Jobs of a queue that run.",
    labelNames: ["queue"],
    registers: [this.registry],
  });
  readonly executors = new Gauge({
    name: "airlock_executors_connected",
    help: "Executors that sent a heartbeat within the last 15 seconds.",
    registers: [this.registry],
  });
  readonly parkedPolls = new Gauge({
    name: "airlock_dequeue_parked",
    help: "Long polls that wait for a job at this instance.",
    registers: [this.registry],
  });
  readonly submitted = new Counter({
    name: "airlock_jobs_submitted_total",
    help: "Jobs that were accepted.",
    labelNames: ["queue"],
    registers: [this.registry],
  });
  readonly attempts = new Counter({
    name: "airlock_attempts_total",
    help: "Attempts that ended, by outcome.",
    labelNames: ["queue", "end"],
    registers: [this.registry],
  });
  readonly attemptDuration = new Histogram({
    name: "airlock_attempt_duration_seconds",
    help: "Duration of attempts, by outcome.",
    labelNames: ["queue", "end"],
    buckets: [0.1, 0.5, 1, 5, 15, 30, 60, 150, 300, 600, 900, 1800, 3600, 7200],
    registers: [this.registry],
  });
  readonly storeOperations = new Counter({
    name: "src_workerutil_dbworker_store_total",
    help: "Operations on the jobs of a queue: taken by an executor, or ended, by outcome.",
    labelNames: ["domain", "op"],
    registers: [this.registry],
  });
  readonly pushedSeriesLeft = new Gauge({
    name: "airlock_pushed_series_left_out",
    help: "Series pushed by executors and dropped because this page is full.",
    registers: [this.registry],
  });
  readonly storedBytes = new Gauge({
    name: "airlock_stored_bytes",
    help: "What counts against a quota: stored, reserved by running uploads, or about to be deleted.",
    labelNames: ["kind"],
    registers: [this.registry],
  });
  readonly storageQuota = new Gauge({
    name: "airlock_storage_quota_bytes",
    help: "The quota of everything of a kind together. No value: no limit.",
    labelNames: ["kind"],
    registers: [this.registry],
  });
  readonly dequeueWait = new Histogram({
    name: "airlock_dequeue_wait_seconds",
    help: "Time that jobs waited for an executor after they became ready.",
    labelNames: ["queue"],
    buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1, 5, 30, 60, 300, 1800],
    registers: [this.registry],
  });
  readonly httpDuration = new Histogram({
    name: "airlock_http_request_duration_seconds",
    help: "Time from receiving a request to the end of its response, without long polls and streams.",
    labelNames: ["method", "route", "status"],
    buckets: [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1, 5, 30],
    registers: [this.registry],
  });

  readonly #resets = resetters.map((resetter) => ({ ...resetter, ...this.#resetCounters(resetter) }));

  constructor() {
    collectDefaultMetrics({ register: this.registry, prefix: "airlock_" });
  }

  handedOut(queue: string, waitedMs: number): void {
    this.dequeueWait.observe({ queue }, waitedMs / 1000);
    this.storeOperations.inc({ domain: domainOf(queue), op: "dequeue" });
  }

  attemptEnded(queue: string, end: string, ranMs: number): void {
    this.attempts.inc({ queue, end });
    this.attemptDuration.observe({ queue, end }, ranMs / 1000);
    this.storeOperations.inc({ domain: domainOf(queue), op: end });
  }

  /** Counts a lapsed lease. `again`: the job went back to its queue; otherwise it lost too many executors. */
  leaseLapsed(queue: string, again: boolean): void {
    for (const { queue: of, resets, failures } of this.#resets) if (of === queue) (again ? resets : failures).inc();
  }

  /** Counts a failed search for lapsed leases. It affects all queues. */
  sweepFailed(): void {
    for (const { errors } of this.#resets) errors.inc();
  }

  /** All metrics in Prometheus text format, including those that executors pushed. */
  async text(pushed: Iterable<PushedMetrics>): Promise<string> {
    const own = await this.registry.getMetricsAsJSON();
    const taken = own.flatMap(({ name }) => [name, `${name}_bucket`, `${name}_sum`, `${name}_count`]);
    return `${await this.registry.metrics()}${formatPushedMetrics(pushed, new Set(taken))}`;
  }

  #resetCounters({ prefix }: Resetter) {
    const counter = (name: string, help: string) =>
      new Counter({ name: `${prefix}_${name}_total`, help, registers: [this.registry] });
    return {
      resets: counter("resets", "Jobs put back into the queue because their executor stopped sending heartbeats."),
      failures: counter("reset_failures", "Jobs that failed because they lost too many executors."),
      errors: counter("reset_errors", "Failed checks for executors that stopped sending heartbeats."),
    };
  }
}

interface Resetter {
  readonly queue: string;
  readonly prefix: string;
}

/** Dashboards have separate names for these two queues. `airlock_attempts_total{end="lost"}` counts all queues. */
const resetters: readonly Resetter[] = [
  { queue: "batches", prefix: "src_batch_spec_workspace_execution_worker_resetter" },
  { queue: "codeintel", prefix: "src_codeintel_background_index_record" },
];

/** The name of a queue on newer dashboards. */
export function domainOf(queue: string): string {
  return `executors_${queue}`;
}
