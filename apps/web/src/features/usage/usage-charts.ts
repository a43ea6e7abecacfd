import type { StepUsage } from "@airlock/api";
import { formatBytes } from "@airlock/job";

export interface UsageChart {
  readonly name: "CPU" | "Memory" | "Disk" | "Network";
  /** `null`: not measured. The first line is drawn as an area. */
  readonly lines: readonly (readonly number[])[] | null;
  /** The value at the top of the chart. */
  readonly top: number;
  /** `null`: there is no limit to show. */
  readonly limit: number | null;
  /** The chart in words. */
  readonly summary: string;
  /** Whether the use came close to the limit, which then may be the cause of a failure. */
  readonly nearLimit: boolean;
}

/** From here on a level counts as close to its limit. */
const nearFraction = 0.9;

/** The charts of one step. Pure. */
export function usageCharts(usage: StepUsage): readonly UsageChart[] {
  return [cpuChart(usage), levelChart("Memory", usage), levelChart("Disk", usage), networkChart(usage)];
}

function cpuChart(usage: StepUsage): UsageChart {
  const { cpuMs, limits } = usage;
  if (cpuMs === null) return notMeasured("CPU");
  const cores = perMs(cpuMs, usage);
  const most = highest(cores);
  const total = cpuMs.reduce((sum, ms) => sum + ms, 0);
  const mean = usage.durationMs === 0 ? 0 : total / usage.durationMs;
  return {
    name: "CPU",
    lines: [cores],
    top: Math.max(limits.cpus, most),
    limit: limits.cpus,
    summary: `${decimal(mean)} of ${decimal(limits.cpus)} cores on average, at most ${decimal(most)}`,
    // A step that uses its processors fully is no sign of a fault.
    nearLimit: false,
  };
}

function levelChart(name: "Memory" | "Disk", { memoryBytes, diskBytes, limits }: StepUsage): UsageChart {
  const levels = name === "Memory" ? memoryBytes : diskBytes;
  const limit = name === "Memory" ? limits.memoryBytes : limits.diskBytes;
  if (levels === null) return notMeasured(name);
  const most = highest(levels);
  const nearLimit = limit !== null && most >= nearFraction * limit;
  const bound = limit === null ? "" : ` of ${formatBytes(limit)}`;
  return {
    name,
    lines: [levels],
    top: Math.max(limit ?? 0, most, 1),
    limit,
    summary: `at most ${formatBytes(most)}${bound}${nearLimit ? ": close to the limit" : ""}`,
    nearLimit,
  };
}

function networkChart(usage: StepUsage): UsageChart {
  const { receivedBytes, sentBytes } = usage;
  if (receivedBytes === null || sentBytes === null) return notMeasured("Network");
  const sum = (values: readonly number[]) => formatBytes(values.reduce((total, value) => total + value, 0));
  const lines = [perMs(receivedBytes, usage), perMs(sentBytes, usage)];
  return {
    name: "Network",
    lines,
    top: Math.max(...lines.map(highest), Number.MIN_VALUE),
    limit: null,
    summary: `${sum(receivedBytes)} received, ${sum(sentBytes)} sent`,
    nearLimit: false,
  };
}

function notMeasured(name: UsageChart["name"]): UsageChart {
  return { name, lines: null, top: 1, limit: null, summary: "not measured", nearLimit: false };
}

/** Amounts of intervals per ms. The last interval may be shorter, and a very short one says nothing. */
function perMs(amounts: readonly number[], { intervalMs, durationMs }: StepUsage): number[] {
  return amounts.flatMap((amount, index) => {
    const width = Math.min(intervalMs, durationMs - index * intervalMs);
    return width < intervalMs / 10 && index > 0 ? [] : [amount / Math.max(1, width)];
  });
}

function highest(values: readonly number[]): number {
  return values.reduce((most, value) => Math.max(most, value), 0);
}

function decimal(value: number): string {
  return value.toLocaleString("en", { maximumFractionDigits: value < 10 ? 2 : 0 });
}
