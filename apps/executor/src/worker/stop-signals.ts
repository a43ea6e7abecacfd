export interface StopExecutor {
  /** Lets running jobs end. */
  drain(why: string): void;
  /** Stops running jobs and hands them back. */
  now(why: string): void;
}

/** The first signal drains, the second one stops running jobs and hands them back, the third one ends the process. */
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
    // Before anything runs there is nothing to hand back.
    if (!this.#stop || this.#received > 2) process.exit(1);
    if (this.#received === 1) this.#stop.drain(signal);
    else this.#stop.now("the executor was told to stop at once");
  }
}
