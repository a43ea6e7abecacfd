import { maxUsageSamples, type StepUsage } from "@airlock/api";
import type { SandboxUsage } from "@airlock/runtime";

type Measured = Pick<StepUsage, "cpuMs" | "memoryBytes" | "diskBytes" | "receivedBytes" | "sentBytes">;
type Name = keyof Measured;
/** Counters become the amount in an interval. Levels become the highest one in it. */
const counters = ["cpuMs", "receivedBytes", "sentBytes"] as const satisfies readonly Name[];
const levels = ["memoryBytes", "diskBytes"] as const satisfies readonly Name[];

const firstIntervalMs = 1000;

/**
 * What a step used, in intervals. The number of samples is bounded: neighbours are merged and the interval doubles. Pure:
 * the caller brings the time, in ms since the step's start.
 */
export class UsageSeries {
  intervalMs = firstIntervalMs;
  private readonly samples: Record<Name, number[]> = emptySamples();
  /** Names that were measured at least once. */
  private readonly measured = new Set<Name>();
  /** Counters at the end of the last complete interval, and the highest levels since. */
  private base: Partial<Record<Name, number>> = {};
  private latest: Partial<Record<Name, number>> = {};
  private highest: Partial<Record<Name, number>> = {};
  private lastMs = 0;

  get durationMs(): number {
    return this.lastMs;
  }

  add(usage: SandboxUsage, atMs: number): void {
    const now = Math.max(this.lastMs, atMs);
    const values = flat(usage);
    for (const name of counters) {
      const value = values[name];
      if (value === undefined) continue;
      this.measured.add(name);
      // The first reading is where the step began: the sandbox's counters include its earlier steps.
      this.base[name] ??= value;
      this.latest[name] = value;
    }
    for (const name of levels) {
      const value = values[name];
      if (value === undefined) continue;
      this.measured.add(name);
      this.latest[name] = value;
      this.highest[name] = Math.max(this.highest[name] ?? 0, value);
    }
    this.lastMs = now;
    // One sample is left for the interval that goes on.
    while (Math.floor(now / this.intervalMs) >= maxUsageSamples) this.halve();
    const complete = Math.floor(now / this.intervalMs) - this.samples.memoryBytes.length;
    if (complete > 0) this.closeIntervals(complete);
  }

  /** The samples so far. The last one covers what follows the last complete interval. */
  read(): Measured {
    const rest = this.lastMs > this.samples.memoryBytes.length * this.intervalMs;
    const read = (name: Name, value: number) => {
      if (!this.measured.has(name)) return null;
      return rest ? [...this.samples[name], Math.round(value)] : [...this.samples[name]];
    };
    const counted = (name: Name) => read(name, this.since(name));
    const level = (name: Name) => read(name, this.highest[name] ?? this.latest[name] ?? 0);
    return {
      cpuMs: counted("cpuMs"),
      memoryBytes: level("memoryBytes"),
      diskBytes: level("diskBytes"),
      receivedBytes: counted("receivedBytes"),
      sentBytes: counted("sentBytes"),
    };
  }

  /** @param count Readings may have been missing for several intervals, which then share what was counted. */
  private closeIntervals(count: number): void {
    for (const name of counters) {
      this.samples[name].push(...repeated(Math.round(this.since(name) / count), count));
      if (this.latest[name] !== undefined) this.base[name] = this.latest[name];
    }
    for (const name of levels) {
      const level = Math.round(this.highest[name] ?? this.latest[name] ?? 0);
      this.samples[name].push(...repeated(level, count));
    }
    this.highest = {};
  }

  private since(name: Name): number {
    // A removed container takes its counters with it.
    return Math.max(0, (this.latest[name] ?? 0) - (this.base[name] ?? 0));
  }

  private halve(): void {
    this.intervalMs *= 2;
    // The last sample of an odd number is the first half of an interval that goes on.
    const rest = this.samples.memoryBytes.length % 2 === 1;
    for (const name of counters) {
      const half = rest ? this.samples[name].pop() : undefined;
      if (half !== undefined) this.base[name] = (this.base[name] ?? 0) - half;
      this.samples[name] = inPairs(this.samples[name], (a, b) => a + b);
    }
    for (const name of levels) {
      const half = rest ? this.samples[name].pop() : undefined;
      if (half !== undefined) this.highest[name] = Math.max(this.highest[name] ?? 0, half);
      this.samples[name] = inPairs(this.samples[name], Math.max);
    }
  }
}

function flat({ cpuMs, memoryBytes, diskBytes, network }: SandboxUsage): Partial<Record<Name, number | undefined>> {
  return { cpuMs, memoryBytes, diskBytes, receivedBytes: network?.receivedBytes, sentBytes: network?.sentBytes };
}

function emptySamples(): Record<Name, number[]> {
  return { cpuMs: [], memoryBytes: [], diskBytes: [], receivedBytes: [], sentBytes: [] };
}

function repeated(value: number, count: number): number[] {
  return Array.from({ length: count }, () => value);
}

function inPairs(values: readonly number[], merge: (a: number, b: number) => number): number[] {
  return Array.from({ length: Math.floor(values.length / 2) }, (_, index) =>
    merge(values[2 * index] ?? 0, values[2 * index + 1] ?? 0),
  );
}
