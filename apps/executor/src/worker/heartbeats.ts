import { Wakeup } from "@airlock/async";
import { errorMessage } from "@airlock/job";
import type { Logger } from "pino";
import type { InstanceClient, Intake } from "../instance-client/instance-client.ts";
import { isPassing } from "../instance-client/instance-error.ts";
import type { Telemetry } from "../instance-client/telemetry.ts";
import type { RunningJob } from "./running-job.ts";

/** The protocol's default. An instance may ask for a shorter interval. */
const defaultIntervalMs = 5000;
/** Time limit for one heartbeat. */
const timeoutMs = 5000;

export interface HeartbeatOptions {
  readonly client: InstanceClient;
  readonly running: ReadonlySet<RunningJob>;
  readonly telemetry: () => Telemetry;
  /** Called with each response: whether the instance wants this executor to take jobs. */
  readonly onIntake: (intake: Intake) => void;
  readonly logger: Logger;
}

/** Renews the leases of all running jobs, and receives what the instance wants stopped. */
export class Heartbeats {
  readonly #options: HeartbeatOptions;
  readonly #wakeup = new Wakeup();
  #lastSuccess: number | null = null;
  #failing = false;
  #isUrgent = false;

  constructor(options: HeartbeatOptions) {
    this.#options = options;
  }

  /** When the last successful heartbeat was sent, on the clock of `performance.now()`. */
  get lastSuccess(): number | null {
    return this.#lastSuccess;
  }

  /** Sends heartbeats until the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    let sentAt = performance.now();
    while (!signal.aborted) {
      const dueIn = sentAt + this.#intervalMs() - performance.now();
      if (dueIn > 0 && !this.#isUrgent) {
        await this.#wakeup.wait(dueIn, signal);
        continue;
      }
      this.#isUrgent = false;
      sentAt = performance.now();
      await this.#sendLogged(signal);
    }
  }

  /** Recomputes when the next heartbeat is due, because a new job may require a shorter interval. */
  reschedule(): void {
    this.#wakeup.wake();
  }

  /** Sends the next heartbeat immediately. */
  hurry(): void {
    this.#isUrgent = true;
    this.#wakeup.wake();
  }

  /** Sends one heartbeat. A heartbeat without an answer says nothing about any job. */
  async send(signal: AbortSignal): Promise<void> {
    const { client, running, telemetry } = this.#options;
    const held = [...running].filter((job) => !job.lost.aborted);
    const sentAt = performance.now();
    const jobs = held.map(({ job }) => job);
    const news = await client.heartbeat(jobs, telemetry(), signal, timeoutMs).catch((error: unknown) => {
      if (!signal.aborted && !isPassing(error)) for (const job of held) job.refuse();
      throw error;
    });
    this.#lastSuccess = sentAt;
    this.#options.onIntake(news.intake);
    for (const job of held) {
      const { key } = job.job;
      if (!news.known.has(key)) job.disown();
      else job.renew(sentAt);
      if (news.canceled.has(key)) job.cancel();
    }
  }

  async #sendLogged(signal: AbortSignal): Promise<void> {
    const { logger } = this.#options;
    try {
      await this.send(signal);
      if (this.#failing) logger.info("heartbeats succeed again");
      this.#failing = false;
    } catch (error) {
      if (signal.aborted) return;
      // Logged once per outage, because the message would be the same every five seconds.
      if (!this.#failing) logger.warn({ error: errorMessage(error) }, "a heartbeat failed");
      this.#failing = true;
    }
  }

  #intervalMs(): number {
    const wanted = [...this.#options.running].flatMap(({ job }) => job.payload.airlock?.heartbeatIntervalMs ?? []);
    return Math.max(100, Math.min(defaultIntervalMs, ...wanted));
  }
}
