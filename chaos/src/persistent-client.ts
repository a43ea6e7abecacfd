import { setTimeout as sleep } from "node:timers/promises";
import { ExecutorList, JobView } from "@airlock/api";
import { administratorToken } from "./world.ts";

/** A client that retries while servers are down, as a careful client does. */
export class PersistentClient {
  readonly #url: string;
  readonly #signal: AbortSignal;

  constructor(url: string, signal: AbortSignal) {
    this.#url = url;
    this.#signal = signal;
  }

  /** The idempotency key ensures that a submission repeated after a lost response results in the same job. */
  async submit(spec: unknown, idempotencyKey: string): Promise<number> {
    const response = await this.#request("/api/v1/jobs", {
      method: "POST",
      headers: { "content-type": "application/json", "idempotency-key": idempotencyKey },
      body: JSON.stringify(spec),
    });
    return JobView.parse(JSON.parse(response)).id;
  }

  /** Raises the limits of the queue, so that no number of kills ends a job. */
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

  /** The index (from 0) of the world's executor for each executor name. */
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
        // Repeating a faulty request does not help.
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
