import { setImmediate } from "node:timers/promises";

/** A long computation lets other work of the process go on after this time. */
const sliceMs = 10;
/** Reading the clock after each step would cost more than the steps. */
const stepsPerLook = 20_000;

/** Keeps a long computation from holding the process, and from going on when its signal is aborted. */
export class Breather {
  readonly #signal: AbortSignal;
  #steps = 0;
  #since = performance.now();

  constructor(signal: AbortSignal) {
    this.#signal = signal;
  }

  /** Counts work that was done. Whether it is time to `breathe`. */
  hasWorked(steps: number): boolean {
    this.#steps += steps;
    if (this.#steps < stepsPerLook) return false;
    this.#steps = 0;
    return performance.now() - this.#since >= sliceMs;
  }

  /** @throws the signal's reason. */
  async breathe(): Promise<void> {
    await setImmediate();
    this.#signal.throwIfAborted();
    this.#since = performance.now();
  }
}
