export interface BenchOptions {
  /** Number of counted rounds. `null`: the row's own default. */
  readonly rounds: number | null;
  readonly progress: (text: string) => void;
}
