import { setTimeout as sleep } from "node:timers/promises";
import type { OutputQueue } from "./output-queue.ts";

/** `undefined` when it takes longer. */
export async function within<T>(ms: number, promise: Promise<T>): Promise<T | undefined> {
  const timer = new AbortController();
  try {
    const late = sleep(ms, undefined, { signal: timer.signal }).catch(() => undefined);
    return await Promise.race([promise, late]);
  } finally {
    timer.abort();
  }
}

/** Settles with `ended`, or rejects with what aborted or failed the step before. */
export async function stoppable(ended: Promise<unknown>, queue: OutputQueue, signal: AbortSignal): Promise<void> {
  const aborted = Promise.withResolvers<never>();
  const abort = () => aborted.reject(signal.reason);
  if (signal.aborted) abort();
  signal.addEventListener("abort", abort, { once: true });
  try {
    await Promise.race([ended, queue.failed, aborted.promise]);
  } finally {
    signal.removeEventListener("abort", abort);
  }
}
