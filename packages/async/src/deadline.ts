import { startTimer } from "./start-timer.ts";

/** A time limit. Disposing stops its timer. */
export interface Deadline extends Disposable {
  readonly signal: AbortSignal;
}

/**
 * Aborts its signal after `ms`, of any length, with the result of `reason`. Aborts earlier if the outer signal does,
 * with its reason.
 */
export function startDeadline(ms: number, reason: () => Error, outer?: AbortSignal): Deadline {
  const late = new AbortController();
  const timer = startTimer(ms, () => late.abort(reason()));
  return {
    signal: outer ? AbortSignal.any([outer, late.signal]) : late.signal,
    [Symbol.dispose]: () => timer[Symbol.dispose](),
  };
}
