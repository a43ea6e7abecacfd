import type { StepUsage } from "@airlock/api";
import { pause } from "@airlock/async";
import { errorMessage } from "@airlock/job";
import type { Sandbox, SandboxLimits } from "@airlock/runtime";
import type { Logger } from "pino";
import { isPassing } from "../instance-client/instance-error.ts";
import { UsageSeries } from "./usage-series.ts";

export interface UsageMonitorOptions {
  readonly sandbox: Sandbox;
  readonly limits: SandboxLimits;
  readonly send: (usage: StepUsage, signal: AbortSignal) => Promise<void>;
  readonly logger: Logger;
  /** Default: 500 ms. Memory may rise and fall between two readings. */
  readonly readEveryMs?: number;
  /** Default: 5 s. */
  readonly sendEveryMs?: number;
}

/** A guest may answer late or never. */
const readingMs = 2000;
/** Waiting for the answer to the last reports must not hold up a job. */
const lastReportsMs = 5000;
const retryMs = 1000;
/** There is nothing to see in the curve of a shorter step. */
const shortestMs = 1000;

/** Reads what a job's sandbox uses while its steps run, and reports it to the instance. Never fails the job. */
export class UsageMonitor implements AsyncDisposable {
  readonly #options: UsageMonitorOptions;
  /** The newest report of each step that was not sent yet. */
  readonly #pending = new Map<number, StepUsage>();
  readonly #ending = new AbortController();
  /** Ends the wait before a report is repeated. */
  readonly #retry = new AbortController();
  #sending: Promise<void> | undefined;
  #isRefused = false;
  #isLast = false;

  constructor(options: UsageMonitorOptions) {
    this.#options = options;
  }

  /** Reads until the result is disposed of, which also takes the last reading. */
  during(step: number): AsyncDisposable {
    const { sandbox, readEveryMs = 500, sendEveryMs = 5000 } = this.#options;
    if (sandbox.usage === undefined) return { [Symbol.asyncDispose]: async () => {} };
    const series = new UsageSeries();
    const startedAt = new Date().toISOString();
    const begin = performance.now();
    let reading: Promise<void> | undefined;
    let sentMs = 0;
    const read = async () => {
      const signal = AbortSignal.any([this.#ending.signal, AbortSignal.timeout(readingMs)]);
      try {
        series.add((await sandbox.usage?.({ signal })) ?? {}, performance.now() - begin);
      } catch (error) {
        // The sandbox ends, or a guest does not answer. The curve then has no reading here.
        this.#options.logger.debug({ error: errorMessage(error) }, "what the sandbox uses could not be read");
      }
    };
    const report = () => {
      const { intervalMs, durationMs } = series;
      if (durationMs < shortestMs) return;
      const { cpus, memoryBytes, diskBytes } = this.#options.limits;
      const limits = { cpus, memoryBytes, diskBytes: diskBytes ?? null };
      this.#report({ step, startedAt, intervalMs, durationMs: Math.round(durationMs), limits, ...series.read() });
    };
    const tick = () => {
      reading ??= read().finally(() => {
        reading = undefined;
        // A curve with longer intervals changes less often.
        if (series.durationMs - sentMs < Math.max(sendEveryMs, 2 * series.intervalMs)) return;
        sentMs = series.durationMs;
        report();
      });
    };
    tick();
    const timer = setInterval(tick, readEveryMs);
    return {
      [Symbol.asyncDispose]: async () => {
        clearInterval(timer);
        await reading;
        await read();
        report();
      },
    };
  }

  /** Waits for the last reports, but not long, and not for an instance that is away. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#isLast = true;
    this.#retry.abort();
    const timer = setTimeout(() => this.#ending.abort(), lastReportsMs);
    await this.#sending;
    clearTimeout(timer);
    this.#ending.abort();
  }

  #report(usage: StepUsage): void {
    if (this.#isRefused || this.#ending.signal.aborted) return;
    this.#pending.set(usage.step, usage);
    this.#sending ??= this.#sendAll().finally(() => {
      this.#sending = undefined;
    });
  }

  async #sendAll(): Promise<void> {
    const { signal } = this.#ending;
    for (let next = this.#take(); next !== undefined && !signal.aborted; next = this.#take()) {
      try {
        await this.#options.send(next, signal);
      } catch (error) {
        this.#options.logger.debug({ error: errorMessage(error) }, "what a step uses could not be reported");
        if (!isPassing(error)) {
          this.#isRefused = true;
          this.#pending.clear();
          return;
        }
        if (this.#isLast) return;
        // A newer report of the step replaces this one.
        if (!this.#pending.has(next.step)) this.#pending.set(next.step, next);
        // The end of the job also ends the wait, for one last try.
        await pause(retryMs, this.#retry.signal);
      }
    }
  }

  #take(): StepUsage | undefined {
    const [usage] = this.#pending.values();
    if (usage !== undefined) this.#pending.delete(usage.step);
    return usage;
  }
}
