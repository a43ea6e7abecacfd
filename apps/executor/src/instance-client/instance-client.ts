import {
  type DequeueRequest,
  executorCapabilities,
  executorHeaders,
  HeartbeatResponse,
  JobPayload,
  type LogBatchRequest,
  type MarkErrorRequest,
  sharedSecretScheme,
  type UpdateLogEntryRequest,
} from "@airlock/api";
import { AirlockError, errorMessage } from "@airlock/job";
import type { InstanceOptions, QueueSelection } from "../config/options.ts";
import { type DequeuedJob, jobKey } from "../dequeued-job.ts";
import type { HeldJob } from "../held-jobs.ts";
import { HttpClient } from "./http-client.ts";
import { logBatchJson } from "./log-batch-json.ts";
import type { Telemetry } from "./telemetry.ts";

const requestTimeoutMs = 30_000;

/** What makes a job's requests acceptable: its token, or the shared secret where the instance gave none. */
export type JobCredentials = Readonly<Record<string, string>>;

/** What a heartbeat brought: which of our jobs the instance still counts as ours, and which it wants stopped. */
export interface HeartbeatNews {
  readonly known: ReadonlySet<string>;
  readonly canceled: ReadonlySet<string>;
}

/** The executor's side of the executor API. Job keys are those of `jobKey`. */
export class InstanceClient {
  readonly executorName: string;
  readonly #http: HttpClient;
  readonly #options: InstanceOptions;

  constructor(options: InstanceOptions, executorName: string) {
    this.#options = options;
    this.executorName = executorName;
    this.#http = new HttpClient(options.url);
  }

  /** The instance's address, ending with `/`. */
  get url(): URL {
    return this.#options.url;
  }

  get queues(): QueueSelection {
    return this.#options.queues;
  }

  /** Where git finds a repository. */
  gitUrl(repositoryName: string): URL {
    return new URL(`.executors/git/${repositoryName.split("/").map(encodeURIComponent).join("/")}`, this.#options.url);
  }

  /** @throws {InstanceError} when the instance does not answer or does not take the shared secret. */
  async testAuthentication(signal?: AbortSignal): Promise<void> {
    await this.#request("GET", "test/auth", this.#ownHeaders(), undefined, {
      timeoutMs: 10_000,
      ...(signal ? { signal } : {}),
    });
  }

  /** The next job, or `undefined` when there is none within `waitMs`. The signal ends only the wait. */
  async dequeue(
    offer: Omit<DequeueRequest, "executorName" | "airlock"> & {
      labels: Readonly<Record<string, string>>;
      waitMs: number;
    },
    signal: AbortSignal,
  ): Promise<DequeuedJob | undefined> {
    const { labels, waitMs, ...resources } = offer;
    const body: DequeueRequest = {
      ...resources,
      executorName: this.executorName,
      ...(this.queues.kind === "several" ? { queues: [...this.queues.names] } : {}),
      airlock: { waitMs, capabilities: [...executorCapabilities], labels: { ...labels } },
    };
    const path = this.queues.kind === "one" ? `queue/${this.queues.name}/dequeue` : "queue/dequeue";
    const timeoutMs = waitMs + requestTimeoutMs;
    const answer = await this.#request("POST", path, this.#ownHeaders(), body, { signal, timeoutMs });
    if (answer.status === 204 || answer.text === "") return undefined;
    return this.#parseJob(answer.text);
  }

  #parseJob(text: string): DequeuedJob {
    const parsed = JobPayload.safeParse(parseJson(text));
    if (!parsed.success) {
      throw new AirlockError("the instance handed out a job that is not understood", {
        code: "payload-invalid",
        hint: "Run an executor and an instance of matching versions.",
        cause: parsed.error,
      });
    }
    const payload = parsed.data;
    const queue = payload.queue ?? (this.queues.kind === "one" ? this.queues.name : "");
    return { payload, queue, key: jobKey(queue, payload.id) };
  }

  /** `jobs` is what runs; an empty list with `startup` is the ping that asks whether the instance is there. */
  async heartbeat(
    jobs: readonly DequeuedJob[],
    telemetry: Telemetry,
    signal: AbortSignal,
    timeoutMs: number,
  ): Promise<HeartbeatNews> {
    const { queues } = this;
    const { airlock, ...texts } = telemetry;
    const attempts = Object.fromEntries(
      jobs.flatMap(({ payload }) => (payload.airlock ? [[String(payload.id), payload.airlock.attempt]] : [])),
    );
    const common = { executorName: this.executorName, ...texts, airlock: { ...airlock, attempts } };
    const [path, body] =
      queues.kind === "one"
        ? [`queue/${queues.name}/heartbeat`, { ...common, version: "V2", jobIds: jobs.map((job) => job.payload.id) }]
        : ["queue/heartbeat", { ...common, queueNames: queues.names, jobIdsByQueue: idsByQueue(jobs) }];
    const answer = await this.#request("POST", path, this.#ownHeaders(), body, { signal, timeoutMs });
    const news = HeartbeatResponse.safeParse(parseJson(answer.text));
    if (!news.success) {
      // Never "none of your jobs is known": a heartbeat that is not understood has failed.
      throw new AirlockError("the instance's answer to a heartbeat is not understood", {
        code: "heartbeat-invalid",
        cause: news.error,
      });
    }
    const keys = new Map(jobs.map((job) => [wireId(job, queues), job.key]));
    const ours = (ids: readonly string[]) => new Set(ids.flatMap((id) => keys.get(id) ?? []));
    return { known: ours(news.data.knownIds), canceled: ours(news.data.cancelIds) };
  }

  credentials({ payload }: DequeuedJob): JobCredentials {
    return {
      authorization: payload.token ? `Bearer ${payload.token}` : `${sharedSecretScheme} ${this.#options.sharedSecret}`,
      [executorHeaders.jobId]: String(payload.id),
      [executorHeaders.executorName]: this.executorName,
    };
  }

  /** Credentials of the git endpoint. */
  gitCredentials(job: DequeuedJob): JobCredentials {
    return { ...this.credentials(job), [executorHeaders.actor]: "internal" };
  }

  /** @throws {InstanceError} status 409 with a `LogConflict` when the batch does not continue the log. */
  async appendLogs(job: DequeuedJob, events: LogBatchRequest["events"], signal: AbortSignal): Promise<void> {
    const body = logBatchJson(
      { executorName: this.executorName, jobId: job.payload.id, attempt: job.payload.airlock?.attempt ?? 1 },
      events,
    );
    await this.#request("POST", `queue/${job.queue}/logs`, this.credentials(job), body, {
      signal,
      timeoutMs: requestTimeoutMs,
    });
  }

  async addLogEntry(job: DequeuedJob, entry: LogEntryFields, signal: AbortSignal): Promise<number> {
    const answer = await this.#jobRequest(job, "addExecutionLogEntry", entry, signal);
    const id = Number(answer.text.trim());
    if (!Number.isSafeInteger(id)) {
      throw new AirlockError("the instance's answer to a new log entry is not understood", {
        code: "log-entry-invalid",
      });
    }
    return id;
  }

  async updateLogEntry(job: DequeuedJob, entryId: number, entry: LogEntryFields, signal: AbortSignal): Promise<void> {
    await this.#jobRequest(job, "updateExecutionLogEntry", { ...entry, entryId }, signal);
  }

  async markComplete(job: DequeuedJob, signal: AbortSignal): Promise<void> {
    await this.#jobRequest(job, "markComplete", attemptOf(job), signal);
  }

  async markErrored(job: DequeuedJob, error: JobFault, signal: AbortSignal): Promise<void> {
    await this.#jobRequest(job, "markErrored", { ...error, ...attemptOf(job) }, signal);
  }

  /** Ends an attempt that an earlier process held, in its name and by its token. */
  async giveUp(held: HeldJob, error: JobFault, signal: AbortSignal): Promise<void> {
    const { executorName, queue, id, attempt, token } = held;
    const headers = {
      authorization: `Bearer ${token}`,
      [executorHeaders.jobId]: String(id),
      [executorHeaders.executorName]: executorName,
    };
    const body = { executorName, jobId: id, attempt, ...error };
    await this.#request("POST", `queue/${queue}/markErrored`, headers, body, { signal, timeoutMs: requestTimeoutMs });
  }

  async markFailed(job: DequeuedJob, error: JobFault, signal: AbortSignal): Promise<void> {
    await this.#jobRequest(job, "markFailed", { ...error, ...attemptOf(job) }, signal);
  }

  /** A file of a job whose payload only names it. */
  async readFile(job: DequeuedJob, bucket: string, key: string, signal: AbortSignal): Promise<AsyncIterable<Buffer>> {
    const path = [bucket, ...key.split("/")].map(encodeURIComponent).join("/");
    return await this.#http.stream({
      method: "GET",
      path: `.executors/files/${path}`,
      headers: this.credentials(job),
      timeoutMs: requestTimeoutMs,
      signal,
    });
  }

  /** The stream of server-sent events that brings cancellations at once. */
  async openEvents(signal: AbortSignal): Promise<AsyncIterable<Buffer>> {
    return await this.#http.stream({
      method: "GET",
      path: `.executors/events?executorName=${encodeURIComponent(this.executorName)}`,
      headers: { ...this.#ownHeaders(), accept: "text/event-stream" },
      timeoutMs: requestTimeoutMs,
      signal,
    });
  }

  async close(): Promise<void> {
    await this.#http.close();
  }

  #ownHeaders(): Record<string, string> {
    return { authorization: `${sharedSecretScheme} ${this.#options.sharedSecret}` };
  }

  async #jobRequest(job: DequeuedJob, route: string, fields: object, signal: AbortSignal) {
    const body = { executorName: this.executorName, jobId: job.payload.id, ...fields };
    const path = `queue/${job.queue}/${route}`;
    return await this.#request("POST", path, this.credentials(job), body, { signal, timeoutMs: requestTimeoutMs });
  }

  async #request(
    method: "GET" | "POST",
    path: string,
    headers: Readonly<Record<string, string>>,
    body: unknown,
    options: { readonly timeoutMs: number; readonly signal?: AbortSignal },
  ) {
    return await this.#http.request({ method, path: `.executors/${path}`, headers, body, ...options });
  }
}

export type LogEntryFields = Omit<UpdateLogEntryRequest, "executorName" | "jobId" | "entryId">;
export type JobFault = Pick<MarkErrorRequest, "errorMessage" | "reason" | "exitCode">;

function attemptOf({ payload }: DequeuedJob): { attempt?: number } {
  return payload.airlock ? { attempt: payload.airlock.attempt } : {};
}

function wireId(job: DequeuedJob, queues: QueueSelection): string {
  return queues.kind === "one" ? String(job.payload.id) : `${job.payload.id}-${job.queue}`;
}

function idsByQueue(jobs: readonly DequeuedJob[]): { queueName: string; jobIds: string[] }[] {
  const grouped = Map.groupBy(jobs, (job) => job.queue);
  return [...grouped].map(([queueName, members]) => ({
    queueName,
    jobIds: members.map((job) => String(job.payload.id)),
  }));
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new AirlockError(`the instance's answer is not JSON: ${errorMessage(cause)}`, { code: "not-json", cause });
  }
}
