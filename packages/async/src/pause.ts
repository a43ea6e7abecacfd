import { onAbort } from "./on-abort.ts";
import { startTimer } from "./start-timer.ts";

/**
 * Waits for `ms`, of any length, or until the signal aborts. Resolves with whether the full time passed; never rejects.
 */
export async function pause(ms: number, signal: AbortSignal): Promise<boolean> {
  if (signal.aborted) return false;
  const { promise, resolve } = Promise.withResolvers<boolean>();
  using _timer = startTimer(ms, () => resolve(true));
  using _listener = onAbort(signal, () => resolve(false));
  return await promise;
}
