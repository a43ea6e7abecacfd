/** Questions that wait for upstreams at the same time, of all sandboxes, before one is refused that has its own share already. */
const maxWaiting = 512;
/** Questions of one sandbox that may wait whatever the others ask. */
const guaranteed = 16;

/** Shares the resolver's room for open questions between sandboxes, so that none is refused because of the others. */
export class UpstreamShare<Sandbox> {
  readonly #waiting = new Map<Sandbox, number>();
  #total = 0;

  /** Runs `ask` if there is room, and else returns `undefined` at once. */
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
