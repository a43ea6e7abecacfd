/** Number of runs and seed of a property-based test. */
export interface FuzzParameters {
  readonly numRuns: number;
  readonly seed: number;
}

/**
 * Reads the parameters. `AIRLOCK_FUZZ_RUNS` overrides `defaultRuns`, and `AIRLOCK_FUZZ_SEED` repeats a run. Prints the
 * seed, so that a run that times out or crashes can be repeated too.
 */
export function fuzzParameters(name: string, defaultRuns: number): FuzzParameters {
  const numRuns = Number(process.env.AIRLOCK_FUZZ_RUNS ?? defaultRuns);
  const seed = Number(process.env.AIRLOCK_FUZZ_SEED ?? Math.floor(Math.random() * 2 ** 31));
  process.stdout.write(`${name}: AIRLOCK_FUZZ_SEED=${seed} AIRLOCK_FUZZ_RUNS=${numRuns}\n`);
  return { numRuns, seed };
}
