import { setTimeout as sleep } from "node:timers/promises";
import { AirlockError, formatBytes } from "@airlock/job";

export interface DiskWatchOptions {
  readonly limitBytes: number;
  /** Bytes that the sandbox takes up now; walks its files, so it may take long. */
  readonly used: () => Promise<number>;
  /** Bytes that are free where the sandbox writes; quick. `undefined` where that is out of reach. */
  readonly free: () => Promise<number | undefined>;
}

/** How often is looked whether so much was written that walking is worth its while. */
const pollMs = 50;
/** Others on the same disk may free what this sandbox takes, so a walk is never put off for longer. */
const mostAgeMs = 5_000;
/** Without a look at what is free there is only walking: before a fast disk may have taken the rest. */
const blindPauseMs = { least: 100, most: 1_000 };
const fastDiskBytesPerMs = 2 * 2 ** 20;
/** Of the time, at most a quarter is spent walking, and a twentieth when nothing seems to be written. */
const busyFactor = 3;
const idleFactor = 20;

interface Measured {
  readonly used: number;
  readonly free: number | undefined;
  readonly at: number;
  readonly tookMs: number;
}

/** Ends a step whose sandbox has written more than its limit, where no file system holds the limit. */
export class DiskWatch {
  readonly #options: DiskWatchOptions;
  #last: Measured | undefined;

  constructor(options: DiskWatchOptions) {
    this.#options = options;
  }

  /** There is another place to look at, so what was free before says nothing. */
  forget(): void {
    this.#last = undefined;
  }

  /**
   * Runs a step. Its `exceeded` is aborted as soon as the limit is seen to be passed: the step is to be killed then.
   * @throws {AirlockError} reason `step-failed` when the step has ended beyond the limit, too.
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

  /** Whether the limit may be passed since the last measurement, or that is older than `ageMs`; 0: any age will do. */
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
    // First: what is written during the walk counts as written after it.
    const free = await this.#options.free();
    const startedAt = performance.now();
    const used = await this.#options.used();
    const at = performance.now();
    this.#last = { used, free, at, tookMs: at - startedAt };
    if (used <= limitBytes) return this.#last;
    throw new AirlockError(
      `the job's disk is full: the workspace and what steps wrote elsewhere are ${formatBytes(used)}, its limit is ${formatBytes(limitBytes)}`,
      { code: "disk-full", reason: "step-failed", hint: "Write less, or ask for more (resources.disk)." },
    );
  }
}
