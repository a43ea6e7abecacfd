/**
 * Limit for questions of all sandboxes that wait for upstreams. Beyond it, only sandboxes below their guaranteed share
 * may ask.
 */
const maxWaiting = 512;
/** Number of waiting questions that each sandbox is guaranteed, whatever the others ask. */
const guaranteed = 16;

/** Divides the capacity for waiting questions between sandboxes, so that no sandbox is refused because of others. */
export class UpstreamShare<Sandbox> {
  readonly #waiting = new Map<Sandbox, number>();
  #total = 0;

  /** Runs `ask` if there is room. Otherwise resolves to `undefined` immediately. */
  async run<T>(sandbox: Sandbox, ask: () => Promise<T>): Promise<T | undefined> {
    const own = this.#waiting.get(sandbox) ?? 0;
    if (this.#total >= maxWaiting && own >= guaranteed) return undefined;
    this.#count(sandbox, 1);
    try {
      return await ask();
    } finally {
      this.#count(sandbox, -1);
    }
  }

  #count(sandbox: Sandbox, change: 1 | -1): void {
    const own = (this.#waiting.get(sandbox) ?? 0) + change;
    if (own === 0) this.#waiting.delete(sandbox);
    else this.#waiting.set(sandbox, own);
    this.#total += change;
  }
}
