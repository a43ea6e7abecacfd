import type { SignalSource } from "./command-context.ts";

/** Ctrl-C was pressed, or the process was asked to end by SIGTERM or SIGHUP. */
export class InterruptedError extends Error {
  override readonly name = "InterruptedError";
  readonly signal: NodeJS.Signals;

  constructor(signal: NodeJS.Signals) {
    super(`interrupted by ${signal}`);
    this.signal = signal;
  }
}

/**
 * An abort signal for Ctrl-C, SIGTERM and SIGHUP. `again` is called for further ones that come more than a second after
 * the first.
 */
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
      // npm and the terminal may both deliver the same Ctrl-C.
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
