/** What is written down about one error code. */
export interface ErrorCodeEntry {
  /** HTTP status of the answer that carries the code; `null`: no answer of the instance carries it. */
  readonly status: number | null;
  /** What happened, in one sentence. */
  readonly documentation: string;
}

export type ErrorCodeGroup = Readonly<Record<string, ErrorCodeEntry>>;

/** Entries of codes that stay in the program that found them, or stand in a job's outcome. */
export function withoutStatus<const Code extends string>(
  entries: Readonly<Record<Code, string>>,
): Readonly<Record<Code, ErrorCodeEntry>> {
  const pairs = Object.entries<string>(entries).map(([code, documentation]) => [code, { status: null, documentation }]);
  return Object.fromEntries(pairs) as Record<Code, ErrorCodeEntry>;
}
