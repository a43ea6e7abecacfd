import { onAbort, startTimer } from "@airlock/async";
import { errorMessage } from "@airlock/job";
import { sql } from "kysely";
import { type DequeuedJob, type DequeueOptions, dequeueJob, tryDequeue } from "../queues/dequeue-job.ts";
import { transitionJob } from "../queues/transition-job.ts";
import type { Database } from "../store/database.ts";
import { isDatabaseAway } from "../store/database-away.ts";
import type { Notifications } from "../store/notifications.ts";

export interface DispatcherOptions {
  readonly db: Database;
  readonly notifications: Notifications;
  readonly onError: (message: string) => void;
}

interface Waiter {
  readonly options: DequeueOptions;
  readonly resolve: (job: DequeuedJob | null) => void;
  readonly reject: (error: unknown) => void;
  /** Its time is up, or its client disconnected. */
  gone: boolean;
}

/**
 * Waiters with the same queues, labels, free resources and supported needs, so that a job suits either all or none. They
 * are served in order of arrival.
 */
interface Group {
  readonly queues: readonly string[];
  readonly waiters: Set<Waiter>;
  /** Number of dequeues that run for the group. */
  pumping: number;
  /** A wake-up arrived while the maximum number of dequeues was running. */
  again: boolean;
}

const sweepIntervalMs = 1000;
const dequeuesPerGroup = 4;

/** Hands jobs to long polls. Parks polls that find no job, and wakes as many as there are jobs. */
export class Dispatcher implements AsyncDisposable {
  readonly #options: DispatcherOptions;
  readonly #groups = new Map<string, Group>();
  readonly #unsubscribe: () => void;
  readonly #sweeper: NodeJS.Timeout;
  readonly #pumps = new Set<Promise<void>>();
  #limitedQueues: ReadonlySet<string> = new Set();
  #stopped = false;

  constructor(options: DispatcherOptions) {
    this.#options = options;
    this.#unsubscribe = options.notifications.subscribe((notice) => {
      if (notice.kind === "queued") this.#wake(notice.queue);
    });
    // Notices may be lost, and a job whose back-off ends becomes visible without a notice.
    this.#sweeper = setInterval(() => void this.#sweep(), sweepIntervalMs);
    this.#sweeper.unref();
  }

  /** Number of parked long polls. */
  get parked(): number {
    let count = 0;
    for (const group of this.#groups.values()) count += group.waiters.size;
    return count;
  }

  /**
   * Returns the next job for this executor. Returns `null` if none came within `waitMs`, the signal aborted or the
   * instance stops. A job taken for a client that has disconnected meanwhile goes back to the queue at once.
   */
  async dequeue(options: DequeueOptions, waitMs: number, signal: AbortSignal): Promise<DequeuedJob | null> {
    if (signal.aborted || this.#stopped) return null;
    if (waitMs <= 0) return this.#keepUnlessGone(await dequeueJob(this.#options.db, options), options, signal);
    const { queues, labels, offer, supports } = options;
    const key = JSON.stringify([[...queues].sort(), Object.entries(labels).sort(), offer, supports]);
    let group = this.#groups.get(key);
    if (!group) {
      group = { queues: options.queues, waiters: new Set(), pumping: 0, again: false };
      this.#groups.set(key, group);
    }
    const { promise, resolve, reject } = Promise.withResolvers<DequeuedJob | null>();
    const waiter: Waiter = { options, resolve, reject, gone: false };
    const leave = () => {
      // While a dequeue runs for a waiter, the waiter is not in the set; it then gets that dequeue's result.
      waiter.gone = true;
      if (group.waiters.delete(waiter)) resolve(null);
    };
    // Join the set before the first look, so that a job queued between the look and parking wakes this waiter.
    group.waiters.add(waiter);
    using _timer = startTimer(waitMs, leave);
    using _listener = onAbort(signal, leave);
    this.#pump(key, group);
    try {
      return await this.#keepUnlessGone(await promise, options, signal);
    } finally {
      if (group.waiters.size === 0 && group.pumping === 0 && this.#groups.get(key) === group) this.#groups.delete(key);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopped = true;
    clearInterval(this.#sweeper);
    this.#unsubscribe();
    for (const group of this.#groups.values()) {
      for (const waiter of group.waiters) waiter.resolve(null);
      group.waiters.clear();
    }
    await Promise.all(this.#pumps);
  }

  async #keepUnlessGone(
    job: DequeuedJob | null,
    options: DequeueOptions,
    signal: AbortSignal,
  ): Promise<DequeuedJob | null> {
    if (!job || !signal.aborted) return job;
    await this.handBack(job, options.executor);
    return null;
  }

  /** Puts a job back into the queue that its executor never received. Nothing can write to that attempt any more. */
  async handBack(job: Pick<DequeuedJob, "id" | "queue" | "attempt">, executor: string): Promise<void> {
    const { db, notifications } = this.#options;
    const failure = {
      reason: "executor-shutdown" as const,
      message: "the executor disconnected before it received the job",
      exitCode: null,
    };
    const event = { kind: "error" as const, attempt: job.attempt, reason: failure.reason };
    await transitionJob(db, job.id, event, { executor, failure });
    notifications.publish({ kind: "queued", queue: job.queue }, { kind: "job", job: job.id });
  }

  /** The end of an attempt makes room for another job in queues that limit running jobs. */
  attemptEnded(queue: string): void {
    if (this.#limitedQueues.has(queue)) this.#options.notifications.publish({ kind: "queued", queue });
  }

  #wake(queue: string): void {
    for (const [key, group] of this.#groups) {
      if (group.waiters.size > 0 && group.queues.includes(queue)) this.#pump(key, group);
    }
  }

  /** Starts one more dequeue for the group, or notes that one is due if the maximum number is running. */
  #pump(key: string, group: Group): void {
    if (this.#stopped) return;
    if (group.pumping >= dequeuesPerGroup) {
      group.again = true;
      return;
    }
    group.pumping += 1;
    const pump = this.#serve(group).finally(() => {
      group.pumping -= 1;
      this.#pumps.delete(pump);
      if (group.again && group.waiters.size > 0) {
        group.again = false;
        this.#pump(key, group);
      } else if (group.waiters.size === 0 && group.pumping === 0 && this.#groups.get(key) === group) {
        this.#groups.delete(key);
      }
    });
    this.#pumps.add(pump);
  }

  /** Serves waiters one after the other until the group has no job left. Polls of drained executors stay parked. */
  async #serve(group: Group): Promise<void> {
    const drained = new Set<string>();
    for (;;) {
      const waiter = group.waiters.values().find(({ options }) => !drained.has(options.executor));
      if (!waiter) return;
      group.waiters.delete(waiter);
      try {
        const result = await tryDequeue(this.#options.db, waiter.options);
        if (result.kind === "job") {
          waiter.resolve(result.job);
          continue;
        }
        if (this.#stopped || waiter.gone) waiter.resolve(null);
        else group.waiters.add(waiter);
        if (result.kind === "empty") return;
        drained.add(waiter.options.executor);
      } catch (error) {
        // Keep the poll parked. Once the database is back, the next sweep wakes it.
        if (isDatabaseAway(error) && !this.#stopped && !waiter.gone) group.waiters.add(waiter);
        else waiter.reject(error);
        return;
      }
    }
  }

  /** Wakes the waiters of queues with jobs for which no notice arrived. */
  async #sweep(): Promise<void> {
    try {
      const limited = await sql<{ name: string }>`select name from queues
        where concurrency_limit is not null or namespace_concurrency_limit is not null`.execute(this.#options.db);
      this.#limitedQueues = new Set(limited.rows.map((row) => row.name));
    } catch (error) {
      this.#options.onError(errorMessage(error));
      return;
    }
    const queues = new Set([...this.#groups.values()].flatMap((group) => (group.waiters.size > 0 ? group.queues : [])));
    if (queues.size === 0) return;
    try {
      const { rows } = await sql<{ queue: string }>`
        select q.queue from unnest(${[...queues]}::text[]) as q (queue)
        where exists (
          select from jobs where queue = q.queue and state = 'queued' and visible_at <= airlock_now()
        )`.execute(this.#options.db);
      for (const row of rows) this.#wake(row.queue);
    } catch (error) {
      this.#options.onError(errorMessage(error));
    }
  }
}
