/**
 * Limits a sandbox's queries. Each query costs the resolver processor time that no limit of the job covers, so their
 * number is limited.
 *
 * A name is also a message to the owner of its domain. To limit exfiltration, the total bytes of new names are limited.
 * Limits on the length or entropy of labels would block legitimate names of content networks and still pass short ones.
 *
 * An install of hundreds of packages asks for a few dozen names. 300 new names at once and 2 per second after that are
 * plenty.
 */
export class QueryBudget {
  readonly #queries: TokenBucket;
  readonly #newBytes: TokenBucket;
  readonly #known = new Set<string>();

  constructor(nowMs: number) {
    this.#queries = new TokenBucket({ capacity: 500, perSecond: 100 }, nowMs);
    this.#newBytes = new TokenBucket({ capacity: 8192, perSecond: 64 }, nowMs);
  }

  /** Whether another message may be read, whatever its content. */
  takeQuery(nowMs: number): boolean {
    return this.#queries.take(1, nowMs);
  }

  /** Whether the sandbox may ask for the name. */
  takeName(name: string, nowMs: number): boolean {
    if (this.#known.has(name)) return true;
    if (!this.#newBytes.take(name.length, nowMs)) return false;
    if (this.#known.size < maxKnownNames) this.#known.add(name);
    return true;
  }
}

const maxKnownNames = 10_000;

class TokenBucket {
  readonly #rate: { readonly capacity: number; readonly perSecond: number };
  #tokens: number;
  #filledAtMs: number;

  constructor(rate: { readonly capacity: number; readonly perSecond: number }, nowMs: number) {
    this.#rate = rate;
    this.#tokens = rate.capacity;
    this.#filledAtMs = nowMs;
  }

  take(count: number, nowMs: number): boolean {
    const gained = ((nowMs - this.#filledAtMs) / 1000) * this.#rate.perSecond;
    this.#tokens = Math.min(this.#rate.capacity, this.#tokens + Math.max(gained, 0));
    this.#filledAtMs = nowMs;
    if (this.#tokens < count) return false;
    this.#tokens -= count;
    return true;
  }
}
