import type { DequeuedJob } from "./dequeued-job.ts";
import { JobStopped } from "./stop-reason.ts";

/**
 * A job of ours with its lease. The lease has two sides: the instance gives the job to somebody else when heartbeats
 * stay away, so we stop it ourselves by then, whatever the reason for the silence is.
 */
export class RunningJob implements Disposable {
  readonly job: DequeuedJob;
  readonly #stop = new AbortController();
  readonly #lost = new AbortController();
  readonly #leaseMs: number | null;
  #timer: NodeJS.Timeout | undefined;
  #ended = false;

  /** `dequeuedAt`: when the instance handed the job out, on the clock of `performance.now()`. */
  constructor(job: DequeuedJob, dequeuedAt: number) {
    this.job = job;
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
    clearTimeout(this.#timer);
    const remainingMs = sentAt + this.#leaseMs - performance.now();
    this.#timer = setTimeout(() => this.#lose("no heartbeat succeeded for as long as the lease lasts"), remainingMs);
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
    clearTimeout(this.#timer);
  }
}
