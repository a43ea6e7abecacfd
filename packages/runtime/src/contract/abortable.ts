export interface Abortable {
  /** Aborted with an Error that says why; every wait ends with `signal.reason`. */
  readonly signal: AbortSignal;
}
