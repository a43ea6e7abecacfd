const bucketSeconds = [0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800];

interface Operation {
  readonly buckets: number[];
  count: number;
  errors: number;
  sumSeconds: number;
}

/**
 * Counts operations of one kind: how often they ran, how long, and how many failed. Has one series per operation name.
 */
export class OperationMetrics {
  readonly #name: string;
  readonly #operations = new Map<string, Operation>();

  /** @param name Prefix of the names of the metric families. */
  constructor(name: string) {
    this.#name = name;
  }

  /** @param operation Must be one of a few names, because each becomes a series. */
  observe(operation: string, durationMs: number, failed: boolean): void {
    let known = this.#operations.get(operation);
    if (!known) {
      known = { buckets: bucketSeconds.map(() => 0), count: 0, errors: 0, sumSeconds: 0 };
      this.#operations.set(operation, known);
    }
    known.count += 1;
    known.errors += failed ? 1 : 0;
    known.sumSeconds += durationMs / 1000;
    for (const [index, limit] of bucketSeconds.entries()) {
      if (durationMs / 1000 <= limit) known.buckets[index] = (known.buckets[index] ?? 0) + 1;
    }
  }

  /** Returns the metrics in Prometheus' text format. */
  lines(): string[] {
    const operations = [...this.#operations].sort(([a], [b]) => (a < b ? -1 : 1));
    if (operations.length === 0) return [];
    const name = this.#name;
    return [
      `# TYPE ${name}_total counter`,
      ...operations.map(([op, { count }]) => `${name}_total{op="${op}"} ${count}`),
      `# TYPE ${name}_errors_total counter`,
      ...operations.map(([op, { errors }]) => `${name}_errors_total{op="${op}"} ${errors}`),
      `# TYPE ${name}_duration_seconds histogram`,
      ...operations.flatMap(([op, { buckets, count, sumSeconds }]) => [
        ...bucketSeconds.map(
          (limit, index) => `${name}_duration_seconds_bucket{op="${op}",le="${limit}"} ${buckets[index]}`,
        ),
        `${name}_duration_seconds_bucket{op="${op}",le="+Inf"} ${count}`,
        `${name}_duration_seconds_sum{op="${op}"} ${sumSeconds}`,
        `${name}_duration_seconds_count{op="${op}"} ${count}`,
      ]),
    ];
  }
}
