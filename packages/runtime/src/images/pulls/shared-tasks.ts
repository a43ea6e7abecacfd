import type { Abortable } from "../../contract/index.ts";

export interface TaskOptions extends Abortable {
  readonly progress: (text: string) => void;
}

/**
 * Runs a task once for all callers that want it at the same time. Each caller can stop waiting at any time. When the
 * last one has gone, the task is aborted.
 */
export class SharedTasks<T> {
  readonly #running = new Map<string, RunningTask<T>>();

  async run(key: string, { signal, progress }: TaskOptions, task: (options: TaskOptions) => Promise<T>): Promise<T> {
    signal.throwIfAborted();
    const running = this.#running.get(key) ?? this.#start(key, task);
    const waiter = { progress };
    running.waiters.add(waiter);
    if (running.lastProgress !== undefined) progress(running.lastProgress);
    const aborted = Promise.withResolvers<never>();
    const onAbort = () => aborted.reject(signal.reason);
    signal.addEventListener("abort", onAbort, { once: true });
    try {
      return await Promise.race([running.promise, aborted.promise]);
    } finally {
      signal.removeEventListener("abort", onAbort);
      running.waiters.delete(waiter);
      if (running.waiters.size === 0 && signal.aborted) {
        // A later caller must not join a task that is being aborted.
        if (this.#running.get(key) === running) this.#running.delete(key);
        running.controller.abort(signal.reason);
      }
    }
  }

  #start(key: string, task: (options: TaskOptions) => Promise<T>): RunningTask<T> {
    const controller = new AbortController();
    const waiters = new Set<{ progress: (text: string) => void }>();
    const running: RunningTask<T> = { controller, waiters, lastProgress: undefined, promise: undefined as never };
    const progress = (text: string) => {
      running.lastProgress = text;
      for (const waiter of waiters) waiter.progress(text);
    };
    running.promise = task({ signal: controller.signal, progress }).finally(() => {
      if (this.#running.get(key) === running) this.#running.delete(key);
    });
    // Avoid an unhandled rejection after every caller has gone.
    running.promise.catch(() => {});
    this.#running.set(key, running);
    return running;
  }
}

interface RunningTask<T> {
  readonly controller: AbortController;
  readonly waiters: Set<{ progress: (text: string) => void }>;
  lastProgress: string | undefined;
  promise: Promise<T>;
}
