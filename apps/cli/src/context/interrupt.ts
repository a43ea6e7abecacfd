import type { SignalSource } from "./command-context.ts";

/** Ctrl-C was pressed, or the process was asked to end. */
export class InterruptedError extends Error {
  override readonly name = "InterruptedError";
  readonly signal: NodeJS.Signals;

  constructor(signal: NodeJS.Signals) {
    super(`interrupted by ${signal}`);
    this.signal = signal;
  }
}

/** An abort signal for Ctrl-C, SIGTERM and SIGHUP; `again` is called for those that come later than a second after the first. */
export function interruptSignal(
  source: SignalSource,
  again?: () => void,
): { readonly signal: AbortSignal } & Disposable {
  const controller = new AbortController();
  let firstAt = 0;
  const listener = (name: NodeJS.Signals) => {
    if (!controller.signal.aborted) {
      firstAt = performance.now();
      controller.abort(new InterruptedError(name));
      // Npm and a terminal may both pass on the same Ctrl-C.
    } else if (performance.now() - firstAt > 1000) again?.();
  };
  const names = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
  for (const name of names) source.on(name, listener);
  return {
    signal: controller.signal,
    [Symbol.dispose]() {
      for (const name of names) source.off(name, listener);
    },
  };
}
