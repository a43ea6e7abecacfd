export interface StopExecutor {
  /** Takes no further jobs and lets the running ones end. */
  drain(why: string): void;
  /** Stops the running jobs and hands them back. */
  now(why: string): void;
}

/**
 * Handles the process's signals. The first one drains, the second one stops running jobs and hands them back, and the
 * third one ends the process.
 */
export class StopSignals {
  #received = 0;
  #stop: StopExecutor | undefined;

  constructor() {
    for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"] as const) process.on(signal, () => this.#receive(signal));
  }

  connect(stop: StopExecutor): void {
    this.#stop = stop;
  }

  #receive(signal: NodeJS.Signals): void {
    this.#received += 1;
    // Before the executor is connected, there is nothing to hand back.
    if (!this.#stop || this.#received > 2) process.exit(1);
    if (this.#received === 1) this.#stop.drain(signal);
    else this.#stop.now("the executor was told to stop at once");
  }
}
