/**
 * - `not-found`: there is no such program where the environment's PATH leads.
 * - `not-started`: the kernel did not start it; `cause` says why.
 * - `failed`: it ended with an exit code other than 0, or by a signal.
 * - `timed-out`, `too-much-output`: it was ended because it went past a bound.
 */
export type ProgramFault = "not-found" | "not-started" | "failed" | "timed-out" | "too-much-output";

/** A program of the host did not do what it was run for. The message names the program, never its arguments. */
export class ProgramError extends Error {
  override readonly name = "ProgramError";
  readonly fault: ProgramFault;
  /** `null` where it has none: it was not started, or a signal ended it. */
  readonly exitCode: number | null;
  readonly signal: NodeJS.Signals | null;
  /** The end of what it wrote to its standard error. */
  readonly stderr: string;

  constructor(
    message: string,
    details: {
      readonly fault: ProgramFault;
      readonly exitCode?: number | null;
      readonly signal?: NodeJS.Signals | null;
      readonly stderr?: string;
      readonly cause?: unknown;
    },
  ) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.fault = details.fault;
    this.exitCode = details.exitCode ?? null;
    this.signal = details.signal ?? null;
    this.stderr = details.stderr ?? "";
  }
}
