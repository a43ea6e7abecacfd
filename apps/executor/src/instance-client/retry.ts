import { pause } from "@airlock/async";
import { isPassing } from "./instance-error.ts";

export interface RetryOptions {
  readonly signal: AbortSignal;
  readonly firstDelayMs?: number;
  readonly maximumDelayMs?: number;
  /** Called before each wait, with the error. */
  readonly onFailure?: (error: unknown) => void;
}

/**
 * Retries until success, a permanent failure or an abort. Each wait is twice as long as the one before, with jitter.
 */
export async function retry<T>(attempt: () => Promise<T>, options: RetryOptions): Promise<T> {
  const { signal, firstDelayMs = 100, maximumDelayMs = 5000 } = options;
  for (let failures = 0; ; failures += 1) {
    signal.throwIfAborted();
    try {
      return await attempt();
    } catch (error) {
      signal.throwIfAborted();
      if (!isPassing(error)) throw error;
      options.onFailure?.(error);
      const delayMs = Math.min(maximumDelayMs, firstDelayMs * 2 ** Math.min(failures, 20)) * (0.75 + Math.random() / 2);
      await pause(delayMs, signal);
    }
  }
}
