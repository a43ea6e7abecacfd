import { Wakeup } from "@airlock/async";

/** Keeps a worker from taking jobs while the instance has drained it. Closed and opened any number of times. */
export class PauseGate {
  readonly #opened = new Wakeup();
  #closing = new AbortController();

  get isClosed(): boolean {
    return this.#closing.signal.aborted;
  }

  /** Aborts when the gate closes. Each opening makes a new signal. */
  get closing(): AbortSignal {
    return this.#closing.signal;
  }

  /** Returns whether the gate was open. */
  close(): boolean {
    if (this.isClosed) return false;
    this.#closing.abort(new Error("requested by the instance"));
    return true;
  }

  /** Returns whether the gate was closed. */
  open(): boolean {
    if (!this.isClosed) return false;
    this.#closing = new AbortController();
    this.#opened.wake();
    return true;
  }

  /** Waits until the gate is open or the signal aborts. For one caller at a time. */
  async pass(signal: AbortSignal): Promise<void> {
    while (this.isClosed && !signal.aborted) await this.#opened.wait(Number.POSITIVE_INFINITY, signal);
  }
}
