/**
 * Runs undo actions all at the same time: removing a link takes the kernel tens of milliseconds of waiting, and no part of
 * an attachment needs another one to be gone first.
 */
export class UndoTogether {
  readonly #actions: (() => Promise<void>)[] = [];
  readonly #last: (() => void)[] = [];
  #running: Promise<void> | undefined;

  add(action: () => Promise<void>): void {
    this.#actions.push(action);
  }

  /** Runs after all others have succeeded. */
  finally(action: () => void): void {
    this.#last.push(action);
  }

  /** Runs once, however often it is called. @throws the error of the action that failed, after all of them have ended. */
  run(): Promise<void> {
    this.#running ??= this.#run();
    return this.#running;
  }

  async #run(): Promise<void> {
    const results = await Promise.allSettled(this.#actions.map((action) => action()));
    const failures = results.flatMap((result) => (result.status === "rejected" ? [result.reason] : []));
    if (failures.length === 1) throw failures[0];
    if (failures.length > 1) throw new AggregateError(failures, "several parts of a sandbox's network are left");
    for (const action of this.#last) action();
  }
}
