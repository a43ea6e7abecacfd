import { InstanceError } from "../instance-client/instance-error.ts";

/** Answers of what stands before an instance that is not there. */
const gatewayStatuses: ReadonlySet<number | null> = new Set([null, 502, 503, 504]);

/**
 * How long the end of a log is tried. An instance that answers and does not take the log is given a short time; the
 * time in which it cannot be reached does not count, since it says nothing about the log.
 */
export class DeliveryPatience {
  readonly #refusedMs: number;
  #sinceLast: number | null = null;
  #spentMs = 0;

  constructor(refusedMs: number) {
    this.#refusedMs = refusedMs;
  }

  /** The log has ended: from here on time counts. */
  start(): void {
    this.#sinceLast = performance.now();
  }

  succeeded(): void {
    this.#spentMs = 0;
    if (this.#sinceLast !== null) this.#sinceLast = performance.now();
  }

  /** @throws `error` when the instance has refused for too long. */
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
