import { pause } from "@airlock/async";
import { statusOf } from "./api-failure.ts";

export interface CallOptions {
  readonly signal: AbortSignal;
  /** How long the API server may be away. */
  readonly giveUpMs: number;
}

const firstPauseMs = 100;
const longestPauseMs = 5_000;
const temporary: ReadonlySet<number> = new Set([429, 500, 502, 503, 504]);

/**
 * Sends a request again while the API server is away or overloaded. `call` may so be carried out twice: it gets whether
 * an earlier request may have arrived.
 * @throws what the last request threw; `signal.reason` when aborted.
 */
export async function callApi<T>(
  call: (isRepeated: boolean) => Promise<T>,
  { signal, giveUpMs }: CallOptions,
): Promise<T> {
  const until = performance.now() + giveUpMs;
  let wait = firstPauseMs;
  for (let attempt = 0; ; attempt += 1) {
    signal.throwIfAborted();
    try {
      return await call(attempt > 0);
    } catch (error) {
      const status = statusOf(error);
      const isTemporary = status === undefined || temporary.has(status);
      if (!isTemporary || performance.now() + wait > until) throw error;
      await pause(wait, signal);
      wait = Math.min(wait * 2, longestPauseMs);
    }
  }
}
