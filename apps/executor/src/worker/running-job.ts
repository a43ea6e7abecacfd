import { startTimer } from "@airlock/async";
import type { DequeuedJob } from "../instance-client/dequeued-job.ts";
import { JobStopped } from "../job/stop-reason.ts";

export interface RunningJobOptions {
  /** How long to keep working while the instance is unreachable, if that is longer than the lease. */
  readonly silenceMs: number;
  /** Called when the lease is over. The executor should ask the instance whether it still has the job. */
  readonly onLapse: () => void;
}

/**
 * A running job with its lease. Without heartbeats, the instance may give the job to another executor, and then rejects
 * everything from this one. Only the instance knows whether it did. While it is unreachable, it may also be down and
 * unable to reassign the job. So the work goes on for a while.
 */
export class RunningJob implements Disposable {
  readonly job: DequeuedJob;
  readonly #stop = new AbortController();
  readonly #lost = new AbortController();
  readonly #leaseMs: number | null;
  readonly #options: RunningJobOptions;
  #hasLapsed = false;
  #timer: Disposable | undefined;
  #ended = false;

  /** @param dequeuedAt When the instance handed out the job, on the clock of `performance.now()`. */
  constructor(job: DequeuedJob, dequeuedAt: number, options: RunningJobOptions) {
    this.job = job;
    this.#options = options;
    // Sourcegraph-compatible instances send no lease, so the executor can't tell when they reassign the job.
    this.#leaseMs = job.payload.airlock?.leaseMs ?? null;
    this.renew(dequeuedAt);
  }

  /** Ends the job's run. The reason is the first `JobStopped`. */
  get signal(): AbortSignal {
    return this.#stop.signal;
  }

  /** Aborted when this executor has lost the job and must not report anything about it. */
  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  /**
   * Renews the lease. It counts from when the heartbeat was sent, since the instance may have received it immediately.
   */
  renew(sentAt: number): void {
    if (this.#leaseMs === null || this.#lost.signal.aborted) return;
    this.#timer?.[Symbol.dispose]();
    this.#hasLapsed = false;
    const remainingMs = sentAt + this.#leaseMs - performance.now();
    this.#timer = startTimer(remainingMs, () => this.#lapse(sentAt));
  }

  #lapse(sentAt: number): void {
    this.#hasLapsed = true;
    const remainingMs = sentAt + this.#options.silenceMs - performance.now();
    const text = "the lease expired: no heartbeat succeeded in time";
    if (remainingMs <= 0) this.#lose(text);
    else {
      const lost = `${text}, and the instance did not come back within EXECUTOR_DELIVERY_TIMEOUT`;
      this.#timer = startTimer(remainingMs, () => this.#lose(lost));
      this.#options.onLapse();
    }
  }

  /** The instance answered a heartbeat with an error. After the end of the lease, there is nothing left to wait for. */
  refuse(): void {
    if (this.#hasLapsed) this.#lose("the lease expired: the instance refuses heartbeats");
  }

  cancel(): void {
    this.#stop.abort(new JobStopped("canceled", "canceled"));
  }

  shutDown(message: string): void {
    this.#stop.abort(new JobStopped("shutdown", message));
  }

  /** The heartbeat response no longer lists this job. Ignored after the job ended: the report simply arrived first. */
  disown(): void {
    if (!this.#ended) this.#lose("the instance no longer assigns the job to this executor");
  }

  /** The run has ended. Only the report is left. */
  end(): void {
    this.#ended = true;
  }

  #lose(message: string): void {
    const reason = new JobStopped("lost", message);
    this.#stop.abort(reason);
    this.#lost.abort(reason);
  }

  [Symbol.dispose](): void {
    this.#timer?.[Symbol.dispose]();
  }
}
