/** Checks one prerequisite of `run`. */
export interface Check {
  readonly name: string;
  /** Name of the check without which this one makes no sense. */
  readonly needs?: string;
  /** How long it may take. Default: 20 s. */
  readonly timeoutMs?: number;
  /**
   * Resolves to the finding, in words.
   * @throws {AirlockError} when jobs could not run. Its hint says how to fix that.
   */
  readonly run: (context: CheckContext) => Promise<string>;
}

interface CheckContext {
  /** Reports something that works, but less well or less safely than it could. */
  readonly note: (text: string) => void;
  readonly signal: AbortSignal;
}
