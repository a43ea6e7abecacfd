import { onAbort } from "@airlock/async";

export interface FairSlotsOptions {
  /** Limit for all holders together. */
  readonly total: number;
  /** Limit per holder, so that one holder can't block the others. */
  readonly perHolder: number;
}

interface Waiter {
  readonly holder: string;
  readonly enter: () => void;
}

/**
 * Limits how many processes run at once. The others wait in order, but a holder at its limit doesn't block the rest.
 */
export class FairSlots {
  readonly #options: FairSlotsOptions;
  readonly #held = new Map<string, number>();
  #running = 0;
  readonly #waiting: Waiter[] = [];

  constructor(options: FairSlotsOptions) {
    this.#options = options;
  }

  /** @throws the signal's reason if it is aborted before a slot is free. */
  async take(holder: string, signal: AbortSignal): Promise<Disposable> {
    signal.throwIfAborted();
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const waiter = { holder, enter: resolve };
    const leave = () => {
      const index = this.#waiting.indexOf(waiter);
      // Already admitted: the caller gets the slot and gives it back.
      if (index === -1) return;
      this.#waiting.splice(index, 1);
      reject(signal.reason);
    };
    this.#waiting.push(waiter);
    using _listener = onAbort(signal, leave);
    this.#admit();
    await promise;
    return { [Symbol.dispose]: () => this.#give(holder) };
  }

  #admit(): void {
    while (this.#running < this.#options.total) {
      const index = this.#waiting.findIndex(({ holder }) => this.#heldBy(holder) < this.#options.perHolder);
      const [next] = index === -1 ? [] : this.#waiting.splice(index, 1);
      if (!next) return;
      this.#running += 1;
      this.#held.set(next.holder, this.#heldBy(next.holder) + 1);
      next.enter();
    }
  }

  #give(holder: string): void {
    this.#running -= 1;
    const left = this.#heldBy(holder) - 1;
    if (left > 0) this.#held.set(holder, left);
    else this.#held.delete(holder);
    this.#admit();
  }

  #heldBy(holder: string): number {
    return this.#held.get(holder) ?? 0;
  }
}
