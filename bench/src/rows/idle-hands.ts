import { setTimeout as sleep } from "node:timers/promises";
import { executorSecret } from "./bench-instance.ts";

/** An executor that runs nothing: what an instance alone takes for a job is measured with it. */
const executorName = "bench";

export interface TakenJob {
  readonly id: number;
  readonly token: string;
  readonly queue: string;
}

/** Waits for a job of the queue. `waitMs` 0: asks each second, as the base protocol does. */
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

/** What a request about a job says of itself. */
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
