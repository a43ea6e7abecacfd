import { setTimeout as sleep } from "node:timers/promises";
import { ExecutorList, JobView } from "@airlock/api";
import { administratorToken } from "./world.ts";

/** A submitter that keeps trying while things are down, as a careful client does. */
export class PersistentClient {
  readonly #url: string;
  readonly #signal: AbortSignal;

  constructor(url: string, signal: AbortSignal) {
    this.#url = url;
    this.#signal = signal;
  }

  /** The idempotency key makes a repeated submission, after an answer that got lost, the same job. */
  async submit(spec: unknown, idempotencyKey: string): Promise<number> {
    const response = await this.#request("/api/v1/jobs", {
      method: "POST",
      headers: { "content-type": "application/json", "idempotency-key": idempotencyKey },
      body: JSON.stringify(spec),
    });
    return JobView.parse(JSON.parse(response)).id;
  }

  /** Kills are what this is about: no number of them may end a job. */
  async allowAnyNumberOfLosses(queue: string): Promise<void> {
    await this.#request(`/api/v1/queues/${queue}`, {
      method: "PATCH",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ maxLosses: 100, maxAttempts: 100 }),
    });
  }

  async job(id: number): Promise<JobView> {
    return JobView.parse(JSON.parse(await this.#request(`/api/v1/jobs/${id}`)));
  }

  async log(id: number, attempt: number, entry: number): Promise<string> {
    return this.#request(`/api/v1/jobs/${id}/logs?attempt=${attempt}&entry=${entry}`);
  }

  /** Which of the world's executors, from 0, went by which name. */
  async executorIndexes(): Promise<ReadonlyMap<string, number>> {
    const { executors } = ExecutorList.parse(JSON.parse(await this.#request("/api/v1/executors")));
    return new Map(executors.map(({ name, labels }) => [name, Number(labels.chaos)]));
  }

  async #request(path: string, init: RequestInit = {}): Promise<string> {
    for (;;) {
      this.#signal.throwIfAborted();
      try {
        const response = await fetch(`${this.#url}${path}`, {
          ...init,
          headers: { ...init.headers, authorization: `Bearer ${administratorToken}` },
          signal: AbortSignal.any([this.#signal, AbortSignal.timeout(10_000)]),
        });
        const text = await response.text();
        if (response.ok) return text;
        // What the request itself did wrong does not get better by repeating it.
        if (response.status < 500) throw new RequestRefused(`${path} answered ${response.status}: ${text}`);
      } catch (error) {
        if (error instanceof RequestRefused) throw error;
        this.#signal.throwIfAborted();
      }
      await sleep(100);
    }
  }
}

class RequestRefused extends Error {}
