/** Longest wait of a single write. The rest of its debt delays the writes after it. */
const maximumWaitMs = 1000;

/** Limits how fast a job may write its log: a token bucket that holds one second's worth. 0: no limit. */
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

  /** Always takes the bytes. Returns for how many ms the caller should not read further output. */
  take(bytes: number): number {
    if (this.bytesPerSecond === 0) return 0;
    const now = this.#now();
    const filled = this.#bytes + ((now - this.#filledAt) / 1000) * this.bytesPerSecond;
    this.#filledAt = now;
    this.#bytes = Math.min(this.bytesPerSecond, filled) - bytes;
    return this.#bytes >= 0 ? 0 : Math.min(maximumWaitMs, (-this.#bytes / this.bytesPerSecond) * 1000);
  }
}
