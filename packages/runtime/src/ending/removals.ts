import { type Collected, runtimeFailed } from "../contract/index.ts";

/**
 * Removes what sandboxes left behind. One that can't be removed must not keep the others: the host would fill up until
 * somebody looks.
 */
export class Removals {
  readonly details: string[] = [];
  readonly #signal: AbortSignal;
  readonly #failures: unknown[] = [];

  constructor(signal: AbortSignal) {
    this.#signal = signal;
  }

  /**
   * Runs `work`, which returns a sentence for each thing that it removed. Keeps its error for {@link result}.
   * @returns whether it succeeded.
   */
  async attempt(work: () => Promise<readonly string[]>): Promise<boolean> {
    this.#signal.throwIfAborted();
    try {
      this.details.push(...(await work()));
      return true;
    } catch (error) {
      this.#failures.push(error);
      return false;
    }
  }

  /**
   * @param what Completes the sentence "cannot remove all that … left".
   * @throws {AirlockError} reason `runtime` when something could not be removed.
   */
  result(sandboxes: number, what: string): Collected {
    this.#signal.throwIfAborted();
    if (this.#failures.length === 0) return { sandboxes, details: this.details };
    const cause = this.#failures.length === 1 ? this.#failures[0] : new AggregateError(this.#failures);
    throw runtimeFailed(`cannot remove all that ${what} left`, cause);
  }
}
