import { AirlockError, formatDuration } from "@airlock/job";

/** A job's signal with its timeout. Disposing ends the timer. */
export interface JobDeadline extends Disposable {
  readonly signal: AbortSignal;
}

/** Aborts with reason `timeout` after `timeoutMs`, or with the outer signal's reason. */
export function startDeadline(timeoutMs: number, outer: AbortSignal): JobDeadline {
  const overrun = new AbortController();
  const timer = setTimeout(
    () => {
      const text = `the job exceeded the maximum execution time of ${formatDuration(timeoutMs)}`;
      overrun.abort(new AirlockError(text, { code: "timeout", reason: "timeout" }));
    },
    Math.min(timeoutMs, 2 ** 31 - 1),
  );
  return { signal: AbortSignal.any([outer, overrun.signal]), [Symbol.dispose]: () => clearTimeout(timer) };
}
