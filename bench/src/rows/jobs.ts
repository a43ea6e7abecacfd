import { administratorToken } from "./bench-instance.ts";

/** The fields of a job in the REST API that the rows use. */
export interface SeenJob {
  readonly id: number;
  readonly state: string;
  readonly attempt: number;
  readonly failureMessage: string | null;
  readonly entries: readonly { readonly key: string; readonly attempt: number; readonly durationMs: number | null }[];
}

export async function rest<T>(url: string, method: "GET" | "POST" | "PATCH", path: string, body?: unknown): Promise<T> {
  const response = await fetch(`${url}/api/v1${path}`, {
    method,
    headers: {
      authorization: `Bearer ${administratorToken}`,
      ...(body === undefined ? {} : { "content-type": "application/json" }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  if (!response.ok) throw new Error(`${method} ${path} answered ${response.status}: ${await response.text()}`);
  return (await response.json()) as T;
}

export async function submitJob(url: string, spec: unknown): Promise<number> {
  return (await rest<SeenJob>(url, "POST", "/jobs", spec)).id;
}

/** Follows the job's event stream until `isThere` returns true. */
export async function untilJob(url: string, id: number, isThere: (job: SeenJob) => boolean): Promise<SeenJob> {
  const response = await fetch(`${url}/api/v1/jobs/${id}/events`, {
    headers: { authorization: `Bearer ${administratorToken}`, accept: "text/event-stream" },
  });
  if (!response.ok || !response.body) throw new Error(`the events of job ${id} answered ${response.status}`);
  let text = "";
  // Leaving the loop ends the stream.
  for await (const piece of response.body.pipeThrough(new TextDecoderStream())) {
    const lines = (text + piece).split("\n");
    text = lines.pop() ?? "";
    for (const line of lines) {
      if (!line.startsWith("data:")) continue;
      const event = JSON.parse(line.slice(5)) as { readonly kind: string; readonly job?: SeenJob };
      if (event.kind === "job" && event.job && isThere(event.job)) return event.job;
    }
  }
  throw new Error(`the events of job ${id} ended`);
}

/**
 * Waits until the job is completed.
 * @throws when it ends in another state.
 */
export async function untilCompleted(url: string, id: number): Promise<SeenJob> {
  const job = await untilJob(url, id, ({ state }) => !["queued", "processing"].includes(state));
  if (job.state !== "completed") throw new Error(`job ${id} is ${job.state}: ${job.failureMessage}`);
  return job;
}
