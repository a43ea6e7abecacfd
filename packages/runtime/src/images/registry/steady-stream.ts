import { setTimeout as sleep } from "node:timers/promises";

/** The content arrived too slowly. */
class StalledError extends Error {
  override readonly name: string = "StalledError";
}

/**
 * Passes on the content as long as at least `bytes` arrive in every `ms` milliseconds. Time that the reader takes does
 * not count.
 */
export async function* steadily(
  content: AsyncIterable<Uint8Array>,
  { bytes, ms }: { readonly bytes: number; readonly ms: number },
): AsyncGenerator<Uint8Array> {
  const iterator = content[Symbol.asyncIterator]();
  let left = ms;
  let received = 0;
  try {
    while (true) {
      const startedAt = performance.now();
      const timer = new AbortController();
      const late = sleep(left, "late" as const, { signal: timer.signal }).catch(() => "late" as const);
      const next = await Promise.race([iterator.next(), late]);
      timer.abort();
      if (next === "late") throw new StalledError(`the registry sent ${received} bytes in ${Math.round(ms / 1000)} s`);
      if (next.done) return;
      received += next.value.byteLength;
      left -= performance.now() - startedAt;
      if (received >= bytes) {
        received = 0;
        left = ms;
      } else if (left <= 0) {
        throw new StalledError(`the registry sent ${received} bytes in ${Math.round(ms / 1000)} s`);
      }
      yield next.value;
    }
  } finally {
    // Don't wait: a stalled source may also stall while closing.
    iterator.return?.().catch(() => {});
  }
}
