import { onAbort } from "./on-abort.ts";
import { startTimer } from "./start-timer.ts";

/** Lets one loop sleep until it is woken. A `wake` while the loop is not waiting ends its next `wait` immediately. */
export class Wakeup {
  #isDue = false;
  #wake: (() => void) | null = null;

  wake(): void {
    this.#isDue = true;
    this.#wake?.();
  }

  /** Resolves at the next `wake`, after `timeoutMs`, or when the signal aborts. */
  async wait(timeoutMs: number, signal: AbortSignal): Promise<void> {
    if (!this.#isDue && !signal.aborted) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#wake = resolve;
      using _timer = startTimer(timeoutMs, resolve);
      using _listener = onAbort(signal, resolve);
      await promise;
      this.#wake = null;
    }
    this.#isDue = false;
  }
}
