/** One thing to measure. `run` is called once per round and returns milliseconds, which it measures itself. */
export interface Subject {
  readonly name: string;
  readonly run: (round: number) => Promise<number>;
}

export interface Sample {
  readonly name: string;
  /** Milliseconds, one per counted round, in order. */
  readonly values: readonly number[];
}

/**
 * Measures subjects in turn, A B C A B C …, so that a machine whose speed drifts affects all of them alike. `warmup`
 * rounds are run but not counted.
 */
export async function runPaired(
  subjects: readonly Subject[],
  options: { readonly rounds: number; readonly warmup: number; readonly progress?: (text: string) => void },
): Promise<Sample[]> {
  const values = new Map<string, number[]>(subjects.map(({ name }) => [name, []]));
  for (let round = -options.warmup; round < options.rounds; round += 1) {
    options.progress?.(round < 0 ? "warming up" : `round ${round + 1} of ${options.rounds}`);
    for (const subject of subjects) {
      const ms = await subject.run(round);
      if (round >= 0) values.get(subject.name)?.push(ms);
    }
  }
  return subjects.map(({ name }) => ({ name, values: values.get(name) ?? [] }));
}

/** The `percent`-th percentile (nearest rank). `NaN` for no values. */
export function percentile(values: readonly number[], percent: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil((percent / 100) * sorted.length) - 1)] ?? Number.NaN;
}

export function median(values: readonly number[]): number {
  return percentile(values, 50);
}

/** Median of the quotients of each round. On a noisy machine it is steadier than the quotient of two medians. */
export function pairedRatio(sample: Sample, reference: Sample): number {
  return median(sample.values.map((value, index) => value / (reference.values[index] ?? Number.NaN)));
}
