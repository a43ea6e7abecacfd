import { median, pairedRatio, percentile, type Sample } from "./paired.ts";

/** One line of the table: a subject compared with a floor or a peer that was measured in the same run. */
export interface Comparison {
  readonly name: string;
  readonly against: string;
  /** Median of the round-by-round quotients; smaller is better. */
  readonly ratio: number;
  /** The target from the design, if there is one. */
  readonly target: number | null;
}

export interface BenchResult {
  readonly bench: string;
  /** Unit of the values. Default: ms. */
  readonly unit?: string;
  readonly rounds: number;
  readonly samples: readonly Sample[];
  readonly comparisons: readonly Comparison[];
  /** Explanations that readers need to interpret the numbers. */
  readonly notes: readonly string[];
}

export function compare(samples: readonly Sample[], name: string, against: string, target: number | null): Comparison {
  const find = (wanted: string): Sample => {
    const sample = samples.find((candidate) => candidate.name === wanted);
    if (!sample) throw new Error(`no sample is named "${wanted}"`);
    return sample;
  };
  return { name, against, ratio: pairedRatio(find(name), find(against)), target };
}

export function formatResult(result: BenchResult): string {
  const samples = result.samples.map(({ name, values }) => [
    name,
    ...[0, 50, 90, 99, 100].map((percent) => percentile(values, percent).toFixed(1)),
  ]);
  const comparisons = result.comparisons.map(({ name, against, ratio, target }) => [
    `${name} / ${against}`,
    `${ratio.toFixed(3)} ×`,
    target === null ? "" : `≤ ${Number(target.toFixed(3))} ×`,
    target === null ? "" : ratio <= target ? "reached" : "missed",
  ]);
  return [
    `## ${result.bench} (${result.rounds} rounds)`,
    formatTable([result.unit ?? "ms", "min", "p50", "p90", "p99", "max"], samples),
    ...(comparisons.length > 0 ? [formatTable(["ratio (median of pairs)", "", "target", ""], comparisons)] : []),
    ...result.notes.map((note) => `- ${note}`),
  ].join("\n\n");
}

function formatTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = head.map((title, column) => Math.max(title.length, ...rows.map((row) => (row[column] ?? "").length)));
  const line = (cells: readonly string[]): string =>
    `| ${widths.map((width, column) => (column === 0 ? (cells[column] ?? "").padEnd(width) : (cells[column] ?? "").padStart(width))).join(" | ")} |`;
  return [line(head), `|${widths.map((width) => "-".repeat(width + 2)).join("|")}|`, ...rows.map(line)].join("\n");
}

/** The output of `--json`: raw values, so that other figures can be computed from them. */
export function toJson(results: readonly BenchResult[], machine: Readonly<Record<string, unknown>>): string {
  const rows = results.map((result) => ({
    ...result,
    samples: result.samples.map(({ name, values }) => ({ name, medianMs: median(values), valuesMs: values })),
  }));
  return `${JSON.stringify({ machine, results: rows }, null, 2)}\n`;
}
