import { onAbort } from "@airlock/async";

/** Waits for work until the signal is aborted. The work continues then. */
export async function abandonable(work: Promise<void>, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  const { promise, reject } = Promise.withResolvers<never>();
  using _ = onAbort(signal, () => reject(signal.reason));
  // Avoid an unhandled rejection after an abort.
  work.catch(() => {});
  await Promise.race([work, promise]);
}
