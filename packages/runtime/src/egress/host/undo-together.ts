/**
 * Runs all undo actions concurrently. Removing a link takes the kernel tens of milliseconds, and the parts of an
 * attachment can be removed in any order.
 */
export class UndoTogether {
  #actions: (() => Promise<void>)[] = [];
  readonly #last: (() => void)[] = [];
  #running: Promise<void> | undefined;

  add(action: () => Promise<void>): void {
    this.#actions.push(action);
  }

  /** Adds an action that runs after all others have succeeded. */
  finally(action: () => void): void {
    this.#last.push(action);
  }

  /**
   * Runs each action until it has succeeded once: a call after a failure repeats only what failed.
   * @throws the failed action's error, after all actions have ended.
   */
  run(): Promise<void> {
    this.#running ??= this.#run().catch((error: unknown) => {
      this.#running = undefined;
      throw error;
    });
    return this.#running;
  }

  async #run(): Promise<void> {
    const actions = this.#actions;
    const results = await Promise.allSettled(actions.map((action) => action()));
    this.#actions = actions.filter((_, index) => results[index]?.status === "rejected");
    const failures = results.flatMap((result) => (result.status === "rejected" ? [result.reason] : []));
    if (failures.length === 1) throw failures[0];
    if (failures.length > 1)
      throw new AggregateError(failures, "several parts of a sandbox's network could not be removed");
    for (const action of this.#last) action();
  }
}
