import { onAbort } from "@airlock/async";

/** Waits for work until the signal is aborted. The work continues then. */
export async function abandonable<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  signal.throwIfAborted();
  const { promise, reject } = Promise.withResolvers<never>();
  using _ = onAbort(signal, () => reject(signal.reason));
  // Avoid an unhandled rejection after an abort.
  work.catch(() => {});
  return await Promise.race([work, promise]);
}
