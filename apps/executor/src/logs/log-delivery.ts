import { onAbort, Wakeup } from "@airlock/async";
import { errorMessage } from "@airlock/job";
import { retry } from "../instance-client/retry.ts";
import { DeliveryPatience } from "./delivery-patience.ts";
import type { LogDelivery } from "./log-sink.ts";

/** What a round leaves to do: nothing more, or another round after a wait. `Infinity` waits for news. */
export type AfterRound = "delivered" | { readonly waitMs: number };

export interface LogDeliveryOptions {
  /**
   * Sends what is due. Called again after the wait that it asks for, or after news.
   * @param finishing The log has ended: send everything.
   */
  readonly round: (finishing: boolean, signal: AbortSignal) => Promise<AfterRound>;
  /** How long an instance that answers may refuse the log's end. */
  readonly refusedMs: number;
  /** Called once when the rest of the log can't be delivered. */
  readonly onFailed?: () => Promise<void>;
}

/** Delivers a log in rounds beside the job that writes it, until the log has ended and all of it is delivered. */
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
    // The first round begins after the caller's own constructor.
    this.#over = Promise.resolve()
      .then(() => this.#run())
      .catch(async (error: unknown) => {
        this.#problem = errorMessage(error);
        this.#stop.abort(error);
        await onFailed?.();
      });
  }

  /** Whether nothing more is delivered. */
  get hasFailed(): boolean {
    return this.#problem !== undefined;
  }

  /** Starts the next round at once. */
  wake(): void {
    this.#wakeup.wake();
  }

  /** Sends a request until the instance takes it. @throws when the instance has refused the log's end for too long. */
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

  /** The log has ended. Resolves when it is delivered, or the signal ended that. */
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
