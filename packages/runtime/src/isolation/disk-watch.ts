import { setTimeout as sleep } from "node:timers/promises";
import { AirlockError, formatBytes } from "@airlock/job";

export interface DiskWatchOptions {
  readonly limitBytes: number;
  /** Disk use of the sandbox in bytes. Walks all of its files, so it may take long. */
  readonly used: () => Promise<number>;
  /** Free bytes on the file systems that the sandbox writes to. Cheap. `undefined` if unknown. */
  readonly free: () => Promise<number | undefined>;
}

/** Interval at which we check whether enough was written to justify a walk. */
const pollMs = 50;
/** Longest time between two walks: other users of the disk may free as much space as this sandbox takes. */
const mostAgeMs = 5_000;
/**
 * Without free space to go by we can only walk. The pause is the time in which a fast disk could fill the rest of the
 * limit.
 */
const blindPauseMs = { least: 100, most: 1_000 };
const fastDiskBytesPerMs = 2 * 2 ** 20;
/**
 * A walk is followed by a pause of at least this many times its duration. So walking takes at most a quarter of the
 * time, or a twentieth when nothing seems to be written.
 */
const busyFactor = 3;
const idleFactor = 20;

interface Measured {
  readonly used: number;
  readonly free: number | undefined;
  readonly at: number;
  readonly tookMs: number;
}

/** Ends a step whose sandbox exceeds its disk limit, where no file system enforces the limit. */
export class DiskWatch {
  readonly #options: DiskWatchOptions;
  #last: Measured | undefined;

  constructor(options: DiskWatchOptions) {
    this.#options = options;
  }

  /** Call this when there is another directory to measure: the earlier free space can no longer be compared. */
  forget(): void {
    this.#last = undefined;
  }

  /**
   * Runs a step. `exceeded` is aborted as soon as the limit is known to be exceeded; kill the step then.
   * @throws {AirlockError} reason `step-failed` also when the limit turns out to be exceeded after the step ended.
   */
  async during<T>(step: (exceeded: AbortSignal) => Promise<T>): Promise<T> {
    const exceeded = new AbortController();
    const ended = new AbortController();
    const watching = this.#watch(ended.signal).catch((error: unknown) => exceeded.abort(error));
    try {
      const result = await step(exceeded.signal);
      ended.abort();
      await watching;
      exceeded.signal.throwIfAborted();
      if (await this.#isDue(0)) await this.#measure();
      return result;
    } finally {
      ended.abort();
      await watching;
    }
  }

  async #watch(ended: AbortSignal): Promise<void> {
    while (!ended.aborted) {
      const last = this.#last ?? (await this.#measure());
      const { tookMs } = last;
      const pauseMs = Math.max(last.free === undefined ? this.#blindPause(last) : pollMs, tookMs * busyFactor);
      await sleep(pauseMs, undefined, { signal: ended }).catch(() => {});
      if (ended.aborted) return;
      if (last.free === undefined || (await this.#isDue(Math.max(mostAgeMs, tookMs * idleFactor))))
        await this.#measure();
    }
  }

  /**
   * Whether to measure again: the limit may have been exceeded since the last measurement, or that is older than
   * `ageMs`. 0: any age is fine.
   */
  async #isDue(ageMs: number): Promise<boolean> {
    const last = this.#last;
    if (!last) return true;
    const age = performance.now() - last.at;
    const free = await this.#options.free();
    if (last.free === undefined || free === undefined) return age >= this.#blindPause(last);
    if (ageMs > 0 && age > ageMs) return true;
    return last.free - free > this.#options.limitBytes - last.used;
  }

  #blindPause({ used }: Measured): number {
    const untilFull = (this.#options.limitBytes - used) / fastDiskBytesPerMs;
    return Math.min(blindPauseMs.most, Math.max(blindPauseMs.least, untilFull));
  }

  async #measure(): Promise<Measured> {
    const { limitBytes } = this.#options;
    // Read the free space first, so that writes during the walk count as writes after it.
    const free = await this.#options.free();
    const startedAt = performance.now();
    const used = await this.#options.used();
    const at = performance.now();
    this.#last = { used, free, at, tookMs: at - startedAt };
    if (used <= limitBytes) return this.#last;
    throw new AirlockError(
      `the job's disk is full: the workspace and what steps wrote elsewhere are ${formatBytes(used)}, its limit is ${formatBytes(limitBytes)}`,
      { code: "disk-full", reason: "step-failed", hint: "Write less, or raise resources.disk." },
    );
  }
}
