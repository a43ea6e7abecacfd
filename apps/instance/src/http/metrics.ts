import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";
import { PushedMetrics } from "../executors/pushed-metrics.ts";

/** The instance's metrics. Names that the executor protocol's dashboards know keep them. */
export class Metrics {
  readonly registry = new Registry();
  /** What executors push. */
  readonly pushed = new PushedMetrics();

  readonly queueDemand = new Gauge({
    name: "src_executors_queue_size",
    help: "Jobs of a queue that wait or run: what autoscalers size executors by.",
    labelNames: ["queue"],
    registers: [this.registry],
  });

  readonly queueSize = new Gauge({
    name: "src_executor_total",
    help: "Jobs of a queue that wait to be handed out.",
    labelNames: ["queue"],
    registers: [this.registry],
  });
  readonly queueAge = new Gauge({
    name: "src_executor_queued_duration_seconds_total",
    help: "Age of the oldest waiting job of a queue.",
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
    help: "Attempts that ended, by how.",
    labelNames: ["queue", "end"],
    registers: [this.registry],
  });
  readonly dequeueWait = new Histogram({
    name: "airlock_dequeue_wait_seconds",
    help: "How long a job waited until it was handed out, from when it could be.",
    labelNames: ["queue"],
    buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1, 5, 30, 60, 300, 1800],
    registers: [this.registry],
  });
  readonly httpDuration = new Histogram({
    name: "airlock_http_request_duration_seconds",
    help: "Time from a request's head to the end of its answer, without long polls and streams.",
    labelNames: ["method", "route", "status"],
    buckets: [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1, 5, 30],
    registers: [this.registry],
  });

  /** All of it as Prometheus reads it. */
  async text(): Promise<string> {
    const own = await this.registry.getMetricsAsJSON();
    return `${await this.registry.metrics()}${this.pushed.text(new Set(own.map(({ name }) => name)))}`;
  }

  constructor() {
    collectDefaultMetrics({ register: this.registry, prefix: "airlock_" });
  }
}
