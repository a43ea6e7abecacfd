import type { ErrorCode } from "./error-codes/error-codes.ts";
import { type FailureReason, isRetryable } from "./failure-reason.ts";

export interface AirlockErrorOptions {
  /** Stable, for programs. The message is for people and may change. */
  readonly code: ErrorCode;
  /** What the reader can do next, in one sentence. Printed by the CLI and the web UI. */
  readonly hint?: string;
  /** How the error affects the job; absent if no job is affected. */
  readonly reason?: FailureReason;
  readonly cause?: unknown;
}

/** An error thrown on purpose. Any other exception is a bug. */
export class AirlockError extends Error {
  override readonly name: string = "AirlockError";
  readonly code: ErrorCode;
  readonly hint: string | undefined;
  readonly reason: FailureReason | undefined;

  constructor(message: string, options: AirlockErrorOptions) {
    super(message, { cause: options.cause });
    this.code = options.code;
    this.hint = options.hint;
    this.reason = options.reason;
  }

  get retryable(): boolean {
    return this.reason !== undefined && isRetryable(this.reason);
  }
}

/** The message of anything thrown, with its causes, on one line: `cannot pull x: connect ECONNREFUSED …`. */
export function errorMessage(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const own = error.message || error.name;
  // Node reports a failed connection to several addresses as an AggregateError with an empty message.
  if (error instanceof AggregateError && error.errors.length > 0 && !error.message)
    return errorMessage(error.errors[0]);
  if (error.cause === undefined) return own;
  const cause = errorMessage(error.cause);
  return own.includes(cause) ? own : `${own}: ${cause}`;
}
