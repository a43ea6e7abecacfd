/** Lets one loop sleep until somebody has news for it. A ring while it is awake is kept for the next sleep. */
export class Bell {
  #rung = false;
  #wake: (() => void) | null = null;

  ring(): void {
    this.#rung = true;
    this.#wake?.();
  }

  /** Resolves at the next ring, after `timeoutMs`, or when the signal aborts. */
  async wait(timeoutMs: number, signal: AbortSignal): Promise<void> {
    if (!this.#rung && !signal.aborted) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#wake = () => resolve();
      const timer = setTimeout(resolve, timeoutMs);
      signal.addEventListener("abort", this.#wake);
      await promise;
      clearTimeout(timer);
      signal.removeEventListener("abort", this.#wake);
      this.#wake = null;
    }
    this.#rung = false;
  }
}
