/**
 * - `not-found`: the program is not on the environment's PATH.
 * - `not-started`: the kernel did not start it; `cause` says why.
 * - `failed`: it ended with an exit code other than 0, or by a signal.
 * - `timed-out`, `too-much-output`: it was ended because it exceeded a limit.
 */
export type ProgramFault = "not-found" | "not-started" | "failed" | "timed-out" | "too-much-output";

/** A host program failed. The message names the program, but never its arguments. */
export class ProgramError extends Error {
  override readonly name = "ProgramError";
  readonly fault: ProgramFault;
  /** `null` if the program was not started or a signal ended it. */
  readonly exitCode: number | null;
  readonly signal: NodeJS.Signals | null;
  /** The last part of its standard error. */
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
