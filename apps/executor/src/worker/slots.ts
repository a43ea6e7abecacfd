import { onAbort } from "@airlock/async";

/** Limits how many jobs run at once. */
export class Slots {
  readonly total: number;
  #used = 0;
  #waiting: (() => void)[] = [];

  constructor(total: number) {
    this.total = total;
  }

  /** Waits for a free slot. Resolves to false when the signal aborted the wait. */
  async acquire(signal: AbortSignal): Promise<boolean> {
    while (this.#used >= this.total && !signal.aborted) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#waiting.push(resolve);
      using _listener = onAbort(signal, resolve);
      await promise;
    }
    if (signal.aborted) return false;
    this.#used += 1;
    return true;
  }

  release(): void {
    this.#used -= 1;
    this.#waiting.shift()?.();
  }
}
