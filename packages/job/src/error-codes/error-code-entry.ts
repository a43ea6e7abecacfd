/** Documentation of one error code. */
export interface ErrorCodeEntry {
  /** HTTP status of responses with this code; `null`: the instance never responds with it. */
  readonly status: number | null;
  /** What happened, in one sentence. */
  readonly documentation: string;
}

export type ErrorCodeGroup = Readonly<Record<string, ErrorCodeEntry>>;

/**
 * Entries for codes that never appear in a response: a program reports them itself, or they explain a job's outcome.
 */
export function withoutStatus<const Code extends string>(
  entries: Readonly<Record<Code, string>>,
): Readonly<Record<Code, ErrorCodeEntry>> {
  const pairs = Object.entries<string>(entries).map(([code, documentation]) => [code, { status: null, documentation }]);
  return Object.fromEntries(pairs) as Record<Code, ErrorCodeEntry>;
}
