import { InstanceError } from "../instance-client/instance-error.ts";

/** Statuses that mean an unreachable instance: no answer, or an answer from a gateway in front of it. */
const gatewayStatuses: ReadonlySet<number | null> = new Set([null, 502, 503, 504]);

/**
 * Limits how long the executor tries to deliver the end of a log. An instance that answers but rejects the log gets a
 * short time. Time during which the instance is unreachable does not count, since it says nothing about the log.
 */
export class DeliveryPatience {
  readonly #refusedMs: number;
  #sinceLast: number | null = null;
  #spentMs = 0;

  constructor(refusedMs: number) {
    this.#refusedMs = refusedMs;
  }

  /** Call this when the log has ended. Time counts from here on. */
  start(): void {
    this.#sinceLast = performance.now();
  }

  succeeded(): void {
    this.#spentMs = 0;
    if (this.#sinceLast !== null) this.#sinceLast = performance.now();
  }

  /** @throws `error` when the instance has rejected the log for too long. */
  failed(error: unknown): void {
    if (this.#sinceLast === null) return;
    const now = performance.now();
    if (!isAway(error)) this.#spentMs += now - this.#sinceLast;
    this.#sinceLast = now;
    if (this.#spentMs > this.#refusedMs) throw error;
  }
}

function isAway(error: unknown): boolean {
  return error instanceof InstanceError && gatewayStatuses.has(error.status);
}
