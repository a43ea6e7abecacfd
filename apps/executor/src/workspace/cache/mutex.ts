import { onAbort } from "@airlock/async";

/** Allows one holder at a time, in the order of the calls. */
export class Mutex {
  #last: Promise<void> = Promise.resolve();

  /** @throws `signal.reason` when aborted while waiting. `work` must watch the signal itself. */
  async run<T>(work: () => Promise<T>, signal: AbortSignal): Promise<T> {
    const before = this.#last;
    const { promise, resolve: release } = Promise.withResolvers<void>();
    this.#last = promise;
    try {
      await abortable(before, signal);
    } catch (error) {
      // The next waiter still has to wait for the holder before this one.
      void before.then(release);
      throw error;
    }
    try {
      return await work();
    } finally {
      release();
    }
  }
}

async function abortable(wait: Promise<void>, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  using _listener = onAbort(signal, () => reject(signal.reason));
  await Promise.race([wait, aborted]);
}
