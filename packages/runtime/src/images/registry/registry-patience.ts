import { pause } from "@airlock/async";
import { formatDuration } from "@airlock/job";
import type { Abortable } from "../../contract/abortable.ts";

/** A registry is overloaded: 429 Too Many Requests, or 503 Service Unavailable. */
export class BusyRegistryError extends Error {
  override readonly name = "BusyRegistryError";
  /** How long the registry asked us to wait. `undefined`: it did not say. */
  readonly retryAfterMs: number | undefined;

  constructor(words: string, retryAfterMs: number | undefined) {
    super(`the registry says ${words}`);
    this.retryAfterMs = retryAfterMs;
  }
}

export const busyHint =
  "The registry limits the requests of this executor's address. Give the executor credentials or a mirror, or run the job later.";

/** Lower limit, so that `Retry-After: 0` does not make us retry in a tight loop. */
const minimumWaitMs = 1000;
/** Waits before each retry if the registry does not say how long. */
const usualWaitsMs = [5000, 10_000, 20_000];

/** Bounds the total time that one pull waits for a busy registry. */
export class RegistryPatience {
  readonly #signal: AbortSignal;
  readonly #progress: (text: string) => void;
  #leftMs: number;

  constructor({ signal, progress }: Abortable & { readonly progress: (text: string) => void }, maxMs = 5 * 60_000) {
    this.#signal = signal;
    this.#progress = progress;
    this.#leftMs = maxMs;
  }

  /**
   * Retries while the registry is busy, as long as its `Retry-After` fits into the remaining time.
   * @throws the last error; the signal's reason when aborted.
   */
  async run<T>(registry: string, attempt: () => Promise<T>): Promise<T> {
    for (let waits = 0; ; waits += 1) {
      try {
        return await attempt();
      } catch (error) {
        const busy = busyErrorIn(error);
        if (!busy) throw error;
        const askedMs = busy.retryAfterMs ?? usualWaitsMs[waits];
        const waitMs = Math.max(minimumWaitMs, askedMs ?? Number.POSITIVE_INFINITY);
        if (waitMs > this.#leftMs) throw error;
        this.#leftMs -= waitMs;
        this.#progress(`${registry} is busy (${busy.message}): retrying in ${formatDuration(waitMs)}`);
        await pause(waitMs, this.#signal);
        this.#signal.throwIfAborted();
      }
    }
  }
}

function busyErrorIn(error: unknown): BusyRegistryError | undefined {
  if (error instanceof BusyRegistryError) return error;
  return error instanceof Error && error.cause instanceof BusyRegistryError ? error.cause : undefined;
}

/**
 * Parses a `Retry-After` header, a number of seconds or a date, into milliseconds.
 * https://www.rfc-editor.org/rfc/rfc9110#section-10.2.3
 */
export function parseRetryAfter(header: string | null, now: Date): number | undefined {
  const text = header?.trim() ?? "";
  if (/^\d{1,10}$/.test(text)) return Number(text) * 1000;
  // Date.parse accepts more than HTTP dates, for example "1".
  const time = /^[A-Za-z]{3},/.test(text) ? Date.parse(text) : Number.NaN;
  return Number.isNaN(time) ? undefined : Math.max(0, time - now.getTime());
}
