import { setTimeout as sleep } from "node:timers/promises";
import { executorSecret } from "./bench-instance.ts";

/** Name of an executor that runs nothing. It measures the time that only the instance takes for a job. */
const executorName = "bench";

export interface TakenJob {
  readonly id: number;
  readonly token: string;
  readonly queue: string;
}

/** Waits for a job of the queue. `waitMs` 0: polls every second, as in the base protocol. */
export async function takeJob(
  url: string,
  queue: string,
  waitMs: number,
): Promise<{ readonly job: TakenJob; readonly at: number }> {
  for (;;) {
    const response = await fetch(`${url}/.executors/queue/${queue}/dequeue`, {
      method: "POST",
      headers: { authorization: `token-executor ${executorSecret}`, "content-type": "application/json" },
      body: JSON.stringify({
        executorName,
        version: "5.3.0",
        ...(waitMs > 0 ? { airlock: { waitMs, capabilities: ["attempts"] } } : {}),
      }),
    });
    if (response.status === 200) {
      const job = (await response.json()) as Omit<TakenJob, "queue">;
      return { job: { ...job, queue }, at: performance.now() };
    }
    if (response.status !== 204) throw new Error(`dequeue answered ${response.status}: ${await response.text()}`);
    if (waitMs === 0) await sleep(1000);
  }
}

/** Headers of requests about a job. */
export function jobHeaders(job: TakenJob): Readonly<Record<string, string>> {
  return {
    authorization: `Bearer ${job.token}`,
    "x-sourcegraph-job-id": String(job.id),
    "x-sourcegraph-executor-name": executorName,
  };
}

export async function completeJob(url: string, job: TakenJob): Promise<void> {
  const response = await fetch(`${url}/.executors/queue/${job.queue}/markComplete`, {
    method: "POST",
    headers: { ...jobHeaders(job), "content-type": "application/json" },
    body: JSON.stringify({ executorName, jobId: job.id }),
  });
  if (response.status !== 204) throw new Error(`markComplete answered ${response.status}`);
}
