/**
 * Calls back when the signal aborts, at once if it has aborted already. Disposing removes the listener: a signal that
 * outlives its users must not collect them.
 */
export function onAbort(signal: AbortSignal, callback: () => void): Disposable {
  if (signal.aborted) callback();
  else signal.addEventListener("abort", callback, { once: true });
  return { [Symbol.dispose]: () => signal.removeEventListener("abort", callback) };
}
