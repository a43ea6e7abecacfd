/** No single write waits longer: what it owes is waited for with the ones after it. */
const maximumWaitMs = 1000;

/** How fast a job may write its log: a bucket that holds one second's worth and fills steadily. 0: as fast as it can. */
export class LogRate {
  readonly bytesPerSecond: number;
  readonly #now: () => number;
  #bytes: number;
  #filledAt: number;

  constructor(bytesPerSecond: number, now: () => number = () => performance.now()) {
    this.bytesPerSecond = bytesPerSecond;
    this.#now = now;
    this.#bytes = bytesPerSecond;
    this.#filledAt = now();
  }

  /** Takes the bytes in any case and answers for how many ms nothing more is to be read. */
  take(bytes: number): number {
    if (this.bytesPerSecond === 0) return 0;
    const now = this.#now();
    const filled = this.#bytes + ((now - this.#filledAt) / 1000) * this.bytesPerSecond;
    this.#filledAt = now;
    this.#bytes = Math.min(this.bytesPerSecond, filled) - bytes;
    return this.#bytes >= 0 ? 0 : Math.min(maximumWaitMs, (-this.#bytes / this.bytesPerSecond) * 1000);
  }
}
