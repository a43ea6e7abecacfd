/** How long and from which seed a property-based test runs. */
export interface FuzzParameters {
  readonly numRuns: number;
  readonly seed: number;
}

/**
 * `AIRLOCK_FUZZ_RUNS` sets the number of runs in place of `defaultRuns`, `AIRLOCK_FUZZ_SEED` repeats a run. The seed is
 * printed, so that a run that ends by a timeout or a crash can be repeated, too.
 */
export function fuzzParameters(name: string, defaultRuns: number): FuzzParameters {
  const numRuns = Number(process.env.AIRLOCK_FUZZ_RUNS ?? defaultRuns);
  const seed = Number(process.env.AIRLOCK_FUZZ_SEED ?? Math.floor(Math.random() * 2 ** 31));
  process.stdout.write(`${name}: AIRLOCK_FUZZ_SEED=${seed} AIRLOCK_FUZZ_RUNS=${numRuns}\n`);
  return { numRuns, seed };
}
