/**
 * Calls back when the signal aborts, or immediately if it already has. Disposing removes the listener, so that a
 * long-lived signal does not accumulate listeners.
 */
export function onAbort(signal: AbortSignal, callback: () => void): Disposable {
  if (signal.aborted) callback();
  else signal.addEventListener("abort", callback, { once: true });
  return { [Symbol.dispose]: () => signal.removeEventListener("abort", callback) };
}
