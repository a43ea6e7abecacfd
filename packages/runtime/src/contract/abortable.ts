export interface Abortable {
  /** Aborted with an Error that tells why. Every wait then rejects with `signal.reason`. */
  readonly signal: AbortSignal;
}
