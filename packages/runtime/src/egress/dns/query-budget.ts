/**
 * What a sandbox may ask. Each query costs the resolver processor time that no limit of the job counts, so their number is
 * bounded. A name is a message to the owner of the domain, so what bounds exfiltration is the number of bytes in names that
 * were not asked before: a limit on the length or the entropy of labels would stop honest names of content networks and
 * still let short ones through.
 *
 * An install of hundreds of packages asks for a few dozen names; 300 new names at once and 2 per second after that are plenty.
 */
export class QueryBudget {
  readonly #queries: TokenBucket;
  readonly #newBytes: TokenBucket;
  readonly #known = new Set<string>();

  constructor(nowMs: number) {
    this.#queries = new TokenBucket({ capacity: 500, perSecond: 100 }, nowMs);
    this.#newBytes = new TokenBucket({ capacity: 8192, perSecond: 64 }, nowMs);
  }

  /** Whether another message may be read, whatever is in it. */
  takeQuery(nowMs: number): boolean {
    return this.#queries.take(1, nowMs);
  }

  /** Whether the name may be asked for. */
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
