import { onAbort, Wakeup } from "@airlock/async";
import { errorMessage } from "@airlock/job";
import { retry } from "../instance-client/retry.ts";
import { DeliveryPatience } from "./delivery-patience.ts";
import type { LogDelivery } from "./log-sink.ts";

/**
 * The state after a round: everything is delivered, or another round is due after a wait. `Infinity` waits for `wake`.
 */
export type AfterRound = "delivered" | { readonly waitMs: number };

export interface LogDeliveryOptions {
  /**
   * Sends what is due. Called again after the wait that it returns, or after `wake`.
   * @param finishing The log has ended: send everything.
   */
  readonly round: (finishing: boolean, signal: AbortSignal) => Promise<AfterRound>;
  /** How long an instance that answers may reject the end of the log. */
  readonly refusedMs: number;
  /** Called once when the rest of the log can't be delivered. */
  readonly onFailed?: () => Promise<void>;
}

/** Delivers a log in rounds while the job writes it, until the log has ended and everything is delivered. */
export class LogDeliveryLoop {
  readonly #round: LogDeliveryOptions["round"];
  readonly #patience: DeliveryPatience;
  readonly #wakeup = new Wakeup();
  readonly #stop = new AbortController();
  readonly #over: Promise<void>;
  #finishing = false;
  #problem: string | undefined;

  constructor({ round, refusedMs, onFailed }: LogDeliveryOptions) {
    this.#round = round;
    this.#patience = new DeliveryPatience(refusedMs);
    // The first round starts asynchronously, after the caller's constructor has returned.
    this.#over = Promise.resolve()
      .then(() => this.#run())
      .catch(async (error: unknown) => {
        this.#problem = errorMessage(error);
        this.#stop.abort(error);
        await onFailed?.();
      });
  }

  /** Whether delivery has failed for good. */
  get hasFailed(): boolean {
    return this.#problem !== undefined;
  }

  /** Starts the next round at once. */
  wake(): void {
    this.#wakeup.wake();
  }

  /**
   * Sends a request until the instance accepts it. @throws when the instance has rejected the log's end for too long.
   */
  async send<T>(request: () => Promise<T>, onFailure: () => void = () => {}): Promise<T> {
    const answer = await retry(request, {
      signal: this.#stop.signal,
      onFailure: (error) => {
        onFailure();
        this.#patience.failed(error);
      },
    });
    this.#patience.succeeded();
    return answer;
  }

  /** Marks the log as ended. Resolves when everything is delivered, delivery failed, or the signal aborted it. */
  async finish(signal: AbortSignal): Promise<LogDelivery> {
    this.#finishing = true;
    this.#patience.start();
    this.#wakeup.wake();
    using _listener = onAbort(signal, () => this.#stop.abort(signal.reason));
    await this.#over;
    return this.#problem === undefined ? { kind: "delivered" } : { kind: "incomplete", problem: this.#problem };
  }

  async #run(): Promise<void> {
    const { signal } = this.#stop;
    for (;;) {
      signal.throwIfAborted();
      const next = await this.#round(this.#finishing, signal);
      if (next === "delivered") return;
      if (next.waitMs > 0) await this.#wakeup.wait(next.waitMs, signal);
    }
  }
}
