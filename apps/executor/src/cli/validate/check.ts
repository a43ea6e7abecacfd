/** One thing that `run` needs. */
export interface Check {
  readonly name: string;
  /**
   * What was found, in words.
   * @throws {AirlockError} whose hint says how to mend it, when a job could not run.
   */
  readonly run: (context: CheckContext) => Promise<string>;
}

interface CheckContext {
  /** Tells of what works, but less well or less safely than it could. */
  readonly note: (text: string) => void;
  readonly signal: AbortSignal;
}
