import { startTimer } from "@airlock/async";
import type { DequeuedJob } from "../instance-client/dequeued-job.ts";
import { JobStopped } from "../job/stop-reason.ts";

export interface RunningJobOptions {
  /** How long an instance that cannot be reached is waited for, where that is longer than the lease. */
  readonly silenceMs: number;
  /** The lease is over: the instance is to be asked whether the job is still ours. */
  readonly onLapse: () => void;
}

/**
 * A job of ours with its lease. When heartbeats stay away the instance may give the job to somebody else, and then takes
 * nothing of ours any more. Whether it did only the instance can say: while it cannot be reached at all, it may as well
 * be down, with nobody to give the job to, and the work goes on for a while.
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

  /** `dequeuedAt`: when the instance handed the job out, on the clock of `performance.now()`. */
  constructor(job: DequeuedJob, dequeuedAt: number, options: RunningJobOptions) {
    this.job = job;
    this.#options = options;
    // Without a word about leases there is nothing to go by: an instance of the protocol takes jobs away in silence.
    this.#leaseMs = job.payload.airlock?.leaseMs ?? null;
    this.renew(dequeuedAt);
  }

  /** Ends the job's run; the reason is a `JobStopped`, the first one that came. */
  get signal(): AbortSignal {
    return this.#stop.signal;
  }

  /** Aborted when the job is not ours any more: nothing is to be said about it. */
  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  /** The lease counts from when the heartbeat was sent: the instance may have seen it at once. */
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
    const text = "no heartbeat succeeded for as long as the lease lasts";
    if (remainingMs <= 0) this.#lose(text);
    else {
      const lost = `${text}, and for as long as an instance is waited for`;
      this.#timer = startTimer(remainingMs, () => this.#lose(lost));
      this.#options.onLapse();
    }
  }

  /** The instance answered a heartbeat, but did not take it: after the lease's end there is nothing to wait for. */
  refuse(): void {
    if (this.#hasLapsed) this.#lose("the instance refuses heartbeats, and the lease is over");
  }

  cancel(): void {
    this.#stop.abort(new JobStopped("canceled", "canceled"));
  }

  shutDown(message: string): void {
    this.#stop.abort(new JobStopped("shutdown", message));
  }

  /** The instance did not name the job among ours. After its end that is no news: the report was quicker. */
  disown(): void {
    if (!this.#ended) this.#lose("the instance does not know the job as ours any more");
  }

  /** The run is over; what is left is to report it. */
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
