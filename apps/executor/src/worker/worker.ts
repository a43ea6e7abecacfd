import { type Deadline, onAbort, pause, startDeadline, startTimer } from "@airlock/async";
import { errorMessage, formatDuration } from "@airlock/job";
import type { Logger } from "pino";
import type { WorkerOptions } from "../config/options.ts";
import { type DequeuedJob, instanceKnows } from "../instance-client/dequeued-job.ts";
import { executorEvents } from "../instance-client/event-stream.ts";
import { executorVersion } from "../instance-client/executor-version.ts";
import type { InstanceClient, Intake } from "../instance-client/instance-client.ts";
import { InstanceError } from "../instance-client/instance-error.ts";
import type { Telemetry } from "../instance-client/telemetry.ts";
import type { JobOutcome } from "../job/job-outcome.ts";
import { Heartbeats } from "./heartbeats.ts";
import type { HeldJobs } from "./held-jobs.ts";
import type { Metrics } from "./metrics.ts";
import { PauseGate } from "./pause-gate.ts";
import { reportOutcome } from "./report-outcome.ts";
import { RunningJob } from "./running-job.ts";
import { Slots } from "./slots.ts";

export interface WorkerDependencies {
  readonly client: InstanceClient;
  readonly options: WorkerOptions;
  /** The fixed part of the telemetry. The worker adds what changes. */
  readonly telemetry: Omit<Telemetry, "airlock" | "prometheusMetrics"> & {
    airlock: Omit<Telemetry["airlock"], "draining" | "paused">;
  };
  /** Resources by which the protocol's instances choose payloads. */
  readonly resources: { readonly numCPUs: number; readonly memory: string; readonly diskSpace?: string };
  readonly runJob: (job: DequeuedJob, signal: AbortSignal) => Promise<JobOutcome>;
  /** Whether the runtime answers. While it does not, no jobs are taken. */
  readonly runtimeAnswers: (signal: AbortSignal) => Promise<boolean>;
  /** Records the running attempts. */
  readonly heldJobs: HeldJobs;
  readonly metrics: Metrics;
  readonly logger: Logger;
}

const drainAsked = "requested by the instance";
/** How long the instance may hold a request for a job open. */
const longPollMs = 25_000;
/**
 * Grace period after a drain began, for an answer that is on its way. A job in a lost answer would wait for its lease
 * to lapse.
 */
const pollGraceMs = 500;
/** Time limit for aborted jobs to clean up and be handed back. */
const handBackMs = 30_000;
/** How often a runtime that does not answer is asked again. */
const runtimeCheckMs = 500;
/** Time limit for each attempt of a killed predecessor. Its lease lapses soon anyway. */
const giveBackMs = 5000;

/** Takes jobs and runs them, as many at once as it has slots, until it is told to stop. */
export class Worker {
  readonly #dependencies: WorkerDependencies;
  readonly #slots: Slots;
  readonly #running = new Set<RunningJob>();
  readonly #ends = new Set<Promise<void>>();
  readonly #draining = new AbortController();
  readonly #pauseGate = new PauseGate();
  readonly #heartbeats: Heartbeats;
  readonly #over = new AbortController();
  readonly #timers = new DisposableStack();
  /** Aborted when the time for handing back stopped jobs is over. */
  readonly #handBackOver = new AbortController();
  #events: Promise<void> | undefined;
  #taken = 0;
  #lastPollFailure = "";

  constructor(dependencies: WorkerDependencies) {
    this.#dependencies = dependencies;
    this.#slots = new Slots(dependencies.options.slots);
    const { client, logger } = dependencies;
    this.#heartbeats = new Heartbeats({
      client,
      running: this.#running,
      telemetry: () => this.#telemetry(),
      onIntake: (intake) => this.#setIntake(intake),
      logger,
    });
  }

  get runningJobs(): number {
    return this.#running.size;
  }

  /** Whether a heartbeat succeeded within the last minute. */
  get isHealthy(): boolean {
    const { lastSuccess } = this.#heartbeats;
    return lastSuccess !== null && performance.now() - lastSuccess < 60_000;
  }

  /** Aborted when this takes no further jobs. */
  get draining(): AbortSignal {
    return this.#draining.signal;
  }

  /** Takes no further jobs. `run` resolves when the running ones have ended or the drain timeout is over. */
  drain(why: string): void {
    if (this.#draining.signal.aborted) return;
    const { drainTimeoutMs } = this.#dependencies.options;
    this.#dependencies.logger.info({ why, running: this.#running.size }, "draining: taking no more jobs");
    this.#draining.abort(new Error(why));
    this.#heartbeats.reschedule();
    if (drainTimeoutMs === 0) this.stopNow("the executor is shutting down");
    else if (drainTimeoutMs !== null) {
      const text = `the executor is shutting down and the job did not end within ${formatDuration(drainTimeoutMs)}`;
      this.#startTimer(drainTimeoutMs, () => this.stopNow(text));
    }
  }

  /** Follows the instance. A drain of the executor's own stays, whatever the instance says. */
  #setIntake(intake: Intake): void {
    if (this.#draining.signal.aborted) return;
    const { logger } = this.#dependencies;
    if (intake === "drain") this.drain(drainAsked);
    else if (intake === "pause") {
      if (!this.#pauseGate.close()) return;
      logger.info({ running: this.#running.size }, "drained by the instance: no jobs are taken until it resumes");
      this.#heartbeats.hurry();
    } else if (this.#pauseGate.open()) {
      logger.info("resumed by the instance");
      this.#heartbeats.hurry();
    }
  }

  /** Stops the running jobs and hands them back. */
  stopNow(message: string): void {
    if (!this.#draining.signal.aborted) this.drain("stop");
    for (const running of this.#running) running.shutDown(message);
    this.#startTimer(handBackMs, () => this.#handBackOver.abort(new Error("handing back took too long")));
  }

  /**
   * @param predecessorCollected Whether everything that a killed predecessor ran has been stopped.
   * @throws {InstanceError} when the instance rejects the executor's credentials.
   */
  async run({ predecessorCollected }: { readonly predecessorCollected: boolean }): Promise<void> {
    using _timers = this.#timers;
    if (!(await this.#waitForInstance())) return;
    const { options, logger, client } = this.#dependencies;
    logger.info({ executor: client.executorName, slots: options.slots }, "ready for jobs");
    const heartbeats = this.#heartbeats.run(this.#over.signal);
    await this.#giveBackPredecessors(predecessorCollected);
    this.#startRetirement();
    await this.#takeJobs();
    while (this.#ends.size > 0) await Promise.race(this.#ends);
    this.#over.abort(new Error("the worker has ended"));
    await Promise.all([heartbeats, this.#events]);
  }

  async #waitForInstance(): Promise<boolean> {
    const { logger } = this.#dependencies;
    const { signal } = this.#draining;
    const startedAt = performance.now();
    let told = false;
    while (!signal.aborted) {
      try {
        await this.#heartbeats.send(signal);
        return true;
      } catch (error) {
        if (signal.aborted) return false;
        if (error instanceof InstanceError && error.unauthorized) throw error;
        // The instance may be starting at the same time, so stay silent about refused connections at first. Then log
        // once.
        const quiet = error instanceof InstanceError && error.status === null && performance.now() - startedAt < 5000;
        if (!told && !quiet) {
          logger.warn({ error: errorMessage(error) }, "waiting for the instance");
          told = true;
        }
        await pause(told ? 1000 : 200, signal);
      }
    }
    return false;
  }

  /**
   * Tells the instance that a killed predecessor's attempts are lost, so that their retries need not wait for the
   * lease.
   */
  async #giveBackPredecessors(predecessorCollected: boolean): Promise<void> {
    const { client, heldJobs, logger } = this.#dependencies;
    const { signal } = this.#draining;
    for (const held of await heldJobs.left()) {
      const { queue, id: job, attempt } = held;
      try {
        // While a part of the attempt may still run, only the lease may end it.
        if (predecessorCollected) {
          const fault = {
            errorMessage: "the executor was killed and has started again",
            reason: "lease-lost",
          } as const;
          await client.giveUp(held, fault, AbortSignal.any([signal, AbortSignal.timeout(giveBackMs)]));
          logger.info({ job, queue, attempt }, "handed back a job of an earlier executor process that was killed");
        }
      } catch (error) {
        // A shutdown does not wait for an unreachable instance. The records stay for the next start.
        if (signal.aborted) return;
        // Usually the lease has already lapsed.
        logger.info(
          { job, queue, attempt, error: errorMessage(error) },
          "a job of an earlier executor process is assigned to another executor now",
        );
      }
      await heldJobs.forget(held);
    }
  }

  #startTimer(ms: number, callback: () => void): void {
    // After the end of `run`, there is nothing left to stop.
    if (!this.#timers.disposed) this.#timers.use(startTimer(ms, callback));
  }

  #startRetirement(): void {
    const { maximumActiveMs } = this.#dependencies.options;
    if (maximumActiveMs === 0) return;
    this.#startTimer(maximumActiveMs, () => this.drain("EXECUTOR_MAX_ACTIVE_TIME is over"));
  }

  async #takeJobs(): Promise<void> {
    const { options } = this.#dependencies;
    const { signal } = this.#draining;
    while (await this.#acquireSlot(signal)) {
      await this.#waitForRuntime(signal);
      if (options.totalJobs > 0 && this.#taken >= options.totalJobs) {
        this.drain("EXECUTOR_NUM_TOTAL_JOBS is reached");
        return;
      }
      const askedAt = performance.now();
      const job = await this.#poll().catch((error: unknown) => {
        this.#tellPollFailure(error);
        return undefined;
      });
      if (job) {
        this.#taken += 1;
        this.#start(job);
        continue;
      }
      this.#slots.release();
      // An instance that holds requests open has already delayed the next request.
      const restMs = options.pollIntervalMs - (performance.now() - askedAt);
      if (restMs > 0) await pause(restMs, signal);
    }
  }

  /** Waits for a free slot, and for a paused executor to be resumed. False: the signal aborted the wait. */
  async #acquireSlot(signal: AbortSignal): Promise<boolean> {
    for (;;) {
      await this.#pauseGate.pass(signal);
      if (!(await this.#slots.acquire(signal))) return false;
      if (!this.#pauseGate.isClosed) return true;
      this.#slots.release();
    }
  }

  /** A job that is taken while the engine restarts would fail, and use up one of its attempts. */
  async #waitForRuntime(signal: AbortSignal): Promise<void> {
    const { runtimeAnswers, logger } = this.#dependencies;
    if (signal.aborted || (await runtimeAnswers(signal)) || signal.aborted) return;
    logger.warn("the runtime does not answer: no jobs are taken until it does");
    do await pause(runtimeCheckMs, signal);
    while (!signal.aborted && !(await runtimeAnswers(signal)));
    if (!signal.aborted) logger.info("the runtime answers again");
  }

  #tellPollFailure(error: unknown): void {
    if (this.#draining.signal.aborted) return;
    const text = errorMessage(error);
    // Logged once per problem, because it would be the same line every second.
    if (text !== this.#lastPollFailure) this.#dependencies.logger.warn({ error: text }, "asking for a job failed");
    this.#lastPollFailure = text;
  }

  /**
   * Asks for one job. A drain does not abort the request at once, since an answer with a job may be on its way. That
   * job would wait for its lease to lapse. A heartbeat tells the instance about the drain, and the request may take
   * another half second.
   */
  async #poll(): Promise<DequeuedJob | undefined> {
    const { client, options, resources } = this.#dependencies;
    const { signal } = this.#draining;
    const wait = new AbortController();
    using timers = new DisposableStack();
    using _drain = onAbort(signal, () => {
      void this.#heartbeats.send(AbortSignal.timeout(pollGraceMs)).catch(() => {});
      timers.use(startTimer(pollGraceMs, () => wait.abort(signal.reason)));
    });
    // The instance gives a paused executor no jobs. A job that is on its way was taken before, and runs.
    const { closing } = this.#pauseGate;
    using _pause = onAbort(closing, () => {
      timers.use(startTimer(pollGraceMs, () => wait.abort(closing.reason)));
    });
    const { labels } = options;
    const offer = { ...resources, version: executorVersion, labels, waitMs: longPollMs };
    const job = await client.dequeue(offer, wait.signal).catch((error: unknown) => {
      if (wait.signal.aborted) return undefined;
      throw error;
    });
    this.#lastPollFailure = "";
    return job;
  }

  #start(job: DequeuedJob): void {
    const running = new RunningJob(job, performance.now(), {
      silenceMs: this.#dependencies.options.deliveryTimeoutMs,
      onLapse: () => this.#heartbeats.hurry(),
    });
    this.#running.add(running);
    // A job that arrived just when the drain began is handed back without running.
    if (this.#draining.signal.aborted) running.shutDown("the executor is shutting down");
    this.#heartbeats.reschedule();
    if (instanceKnows(job, "events")) this.#events ??= this.#followEvents();
    const end = this.#runToEnd(running).finally(() => {
      this.#ends.delete(end);
      this.#running.delete(running);
      running[Symbol.dispose]();
      this.#slots.release();
    });
    this.#ends.add(end);
  }

  async #runToEnd(running: RunningJob): Promise<void> {
    const { client, logger, runJob, metrics, heldJobs } = this.#dependencies;
    const { job } = running;
    const jobLogger = logger.child({
      job: job.payload.id,
      queue: job.queue,
      attempt: job.payload.airlock?.attempt ?? 1,
    });
    const startedAt = performance.now();
    jobLogger.info("job taken");
    await heldJobs.add(client.executorName, job).catch((error: unknown) => {
      jobLogger.warn({ error: errorMessage(error) }, "the job could not be recorded on disk");
    });
    const outcome = running.signal.aborted
      ? ({ kind: "errored", reason: "executor-shutdown", message: "the executor is shutting down" } as const)
      : await runJob(job, running.signal);
    running.end();
    const durationMs = Math.round(performance.now() - startedAt);
    metrics.countJob(outcome.kind, durationMs);
    jobLogger.info({ ...outcome, outcome: outcome.kind, kind: undefined, durationMs }, "job ended");
    try {
      using deadline = this.#startReportDeadline(running);
      const report = await reportOutcome(client, job, outcome, deadline.signal);
      if (report.kind === "refused")
        jobLogger.warn({ error: errorMessage(report.error) }, "the instance refused the job's result");
    } catch (error) {
      jobLogger.error({ error: errorMessage(error) }, "the job's result could not be reported; its lease will expire");
    }
    await heldJobs.remove(job).catch((error: unknown) => {
      jobLogger.warn({ error: errorMessage(error) }, "the job's record could not be removed from disk");
    });
  }

  /** Time limit for a report. Cancellation, a drain and an unreachable instance don't abort it. Losing the job does. */
  #startReportDeadline(running: RunningJob): Deadline {
    const ms = Math.max(handBackMs, this.#dependencies.options.deliveryTimeoutMs);
    const outer = AbortSignal.any([running.lost, this.#handBackOver.signal]);
    return startDeadline(ms, () => new Error(`not answered within ${formatDuration(ms)}`), outer);
  }

  /**
   * Follows the event stream, which delivers cancellations immediately. While it is broken, heartbeats deliver them.
   */
  async #followEvents(): Promise<void> {
    const { client, logger } = this.#dependencies;
    const { signal } = this.#over;
    for (let failures = 0; !signal.aborted; failures += 1) {
      try {
        for await (const event of executorEvents(await client.openEvents(signal))) {
          failures = 0;
          if (event.kind !== "cancel") {
            this.#setIntake(event.kind === "resume" ? "open" : event.stay ? "pause" : "drain");
            continue;
          }
          for (const running of this.#running) {
            const { payload } = running.job;
            const isMeant = payload.id === event.jobId && payload.airlock?.attempt === event.attempt;
            if (isMeant) running.cancel();
          }
        }
      } catch (error) {
        if (!signal.aborted) logger.debug({ error: errorMessage(error) }, "the event stream was interrupted");
      }
      await pause(Math.min(10_000, 250 * 2 ** Math.min(failures, 10)), signal);
    }
  }

  #telemetry(): Telemetry {
    const { telemetry, metrics } = this.#dependencies;
    return {
      ...telemetry,
      prometheusMetrics: metrics.text(this.#running.size),
      airlock: { ...telemetry.airlock, draining: this.#draining.signal.aborted, paused: this.#pauseGate.isClosed },
    };
  }
}
