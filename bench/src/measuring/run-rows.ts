import type { BenchOptions } from "./bench-options.ts";
import { type BenchResult, formatResult } from "./result.ts";

/** Measures one thing. */
export type Row = (options: BenchOptions) => Promise<BenchResult>;

export interface RowFailure {
  readonly row: string;
  readonly error: unknown;
}

export interface RunRowsOptions {
  readonly rounds: number | null;
  /** Reports the progress of a row. An empty text means that the row has ended. */
  readonly progress: (text: string) => void;
  readonly print: (text: string) => void;
}

/** Runs rows one after another and prints each result. A failed row does not affect the others. */
export async function runRows(
  rows: ReadonlyMap<string, Row>,
  { rounds, progress, print }: RunRowsOptions,
): Promise<{ readonly results: readonly BenchResult[]; readonly failures: readonly RowFailure[] }> {
  const results: BenchResult[] = [];
  const failures: RowFailure[] = [];
  for (const [row, measure] of rows) {
    try {
      const result = await measure({ rounds, progress: (text) => progress(`${row}: ${text}`) });
      progress("");
      print(`${formatResult(result)}\n`);
      results.push(result);
    } catch (error) {
      progress("");
      print(`## ${row} failed\n\n${describe(error)}\n`);
      failures.push({ row, error });
    }
  }
  if (failures.length > 0) {
    const names = failures.map(({ row }) => row).join(", ");
    print(`${failures.length} of ${rows.size} rows failed: ${names}`);
  }
  return { results, failures };
}

function describe(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
