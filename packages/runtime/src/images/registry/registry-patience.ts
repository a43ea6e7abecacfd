import { pause } from "@airlock/async";
import { formatDuration } from "@airlock/job";
import type { Abortable } from "../../contract/abortable.ts";

/** A registry answered that it has no time now: 429 Too Many Requests, or 503 Service Unavailable. */
export class BusyRegistryError extends Error {
  override readonly name = "BusyRegistryError";
  /** What the registry asks to wait. `undefined`: it does not say. */
  readonly retryAfterMs: number | undefined;

  constructor(words: string, retryAfterMs: number | undefined) {
    super(`the registry says ${words}`);
    this.retryAfterMs = retryAfterMs;
  }
}

export const busyHint =
  "The registry limits how much this executor's address may ask. Give this executor credentials or a mirror, or run the job later.";

/** A registry that asks for no time at all is not asked in a loop. */
const minimumWaitMs = 1000;
/** Where the registry does not say for how long. */
const usualWaitsMs = [5000, 10_000, 20_000];

/** How long one pull waits for a busy registry, in all. */
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
   * Repeats what a busy registry refused, as often as its word and the time that is left allow.
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
        this.#progress(`${registry} is busy (${busy.message}): trying again in ${formatDuration(waitMs)}`);
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
 * Milliseconds that a `Retry-After` header asks to wait: a number of seconds, or a date.
 * https://www.rfc-editor.org/rfc/rfc9110#section-10.2.3
 */
export function parseRetryAfter(header: string | null, now: Date): number | undefined {
  const text = header?.trim() ?? "";
  if (/^\d{1,10}$/.test(text)) return Number(text) * 1000;
  // Date.parse takes more than dates of HTTP, "1" for instance.
  const time = /^[A-Za-z]{3},/.test(text) ? Date.parse(text) : Number.NaN;
  return Number.isNaN(time) ? undefined : Math.max(0, time - now.getTime());
}
