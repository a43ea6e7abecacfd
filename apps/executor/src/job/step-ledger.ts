import type { StepResult } from "@airlock/api";
import type { StepStatus } from "@airlock/runtime";

/** Records the state of each step of a job. The report of the job's end takes its results from here. */
export class StepLedger {
  readonly #results: StepResult[];
  #startedAt = 0;

  constructor(keys: readonly string[]) {
    this.#results = keys.map((key) => ({ key, state: "pending", exitCode: null, durationMs: null }));
  }

  get anyStarted(): boolean {
    return this.#results.some(({ state }) => state !== "pending");
  }

  start(index: number): void {
    this.#startedAt = performance.now();
    this.#set(index, { state: "running", exitCode: null, durationMs: null });
  }

  /** `status` is null when the step was stopped or could not be run to its end. */
  end(index: number, status: StepStatus | null): void {
    const exitCode = status?.kind === "exited" ? status.exitCode : null;
    const durationMs = Math.round(performance.now() - this.#startedAt);
    this.#set(index, { state: exitCode === 0 ? "succeeded" : "failed", exitCode, durationMs });
  }

  /** Results after the attempt has ended: pending steps count as skipped. */
  results(): StepResult[] {
    return this.#results.map((result) => (result.state === "pending" ? { ...result, state: "skipped" } : result));
  }

  #set(index: number, change: Omit<StepResult, "key">): void {
    const before = this.#results[index];
    if (before) this.#results[index] = { ...before, ...change };
  }
}
