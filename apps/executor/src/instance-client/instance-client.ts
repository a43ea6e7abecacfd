import type { Readable } from "node:stream";
import {
  type ArtifactKind,
  type DequeueRequest,
  type ExecutorCapability,
  type ExecutorRestriction,
  executorCapabilities,
  executorHeaders,
  HeartbeatResponse,
  JobPayload,
  type MarkCompleteRequest,
  type MarkErrorRequest,
  type StepUsage,
  sharedSecretScheme,
  type UpdateLogEntryRequest,
} from "@airlock/api";
import { AirlockError } from "@airlock/job";
import { z } from "zod";
import type { InstanceOptions, QueueSelection } from "../config/options.ts";
import type { SendUpload, UploadAnswer } from "../uploads/upload-proxy.ts";
import { BodyPool } from "./body-pool.ts";
import { type DequeuedJob, type HeldAttempt, jobKey } from "./dequeued-job.ts";
import { HttpClient } from "./http-client.ts";
import { logBatchJson, type OutgoingLogEvent } from "./log-batch-json.ts";
import type { Telemetry } from "./telemetry.ts";

const requestTimeoutMs = 30_000;
/** Time limit after the last byte, while the instance stores the artifact. */
const uploadTimeoutMs = 120_000;

/** Headers that authorize a job's requests: the job's token, or the shared secret if the instance gave no token. */
export type JobCredentials = Readonly<Record<string, string>>;

/** `pause`: take no jobs until further notice. `drain`: take no further jobs, then exit. */
export type Intake = "open" | "pause" | "drain";

/** What a heartbeat's response says about this executor's jobs. `known`: the instance still assigns them to it. */
export interface HeartbeatNews {
  readonly known: ReadonlySet<string>;
  readonly canceled: ReadonlySet<string>;
  readonly intake: Intake;
}

/** The executor's side of the executor API. Job keys come from `jobKey`. */
export class InstanceClient {
  readonly executorName: string;
  readonly #http: HttpClient;
  readonly #bodies = new BodyPool();
  readonly #capabilities: readonly (ExecutorCapability | ExecutorRestriction)[];
  readonly #options: InstanceOptions;

  readonly #onAnswered: (operation: string, failed: boolean, durationMs: number) => void;

  /**
   * @param onAnswered Called for each request about queues and jobs, also when it gets no answer.
   * @param capabilities Those that this executor has on this machine, and its restrictions. Default: all, and none.
   */
  constructor(
    options: InstanceOptions,
    executorName: string,
    onAnswered: (operation: string, failed: boolean, durationMs: number) => void = () => {},
    capabilities: readonly (ExecutorCapability | ExecutorRestriction)[] = executorCapabilities,
  ) {
    this.#capabilities = capabilities;
    this.#options = options;
    this.#onAnswered = onAnswered;
    this.executorName = executorName;
    this.#http = new HttpClient(options.url, options.proxies);
  }

  /** The instance's URL, ending with `/`. */
  get url(): URL {
    return this.#options.url;
  }

  get queues(): QueueSelection {
    return this.#options.queues;
  }

  /** URL of a repository for git. */
  gitUrl(repositoryName: string): URL {
    return new URL(`.executors/git/${repositoryName.split("/").map(encodeURIComponent).join("/")}`, this.#options.url);
  }

  /**
   * Asks for the instance's clock (ms since 1970) and for those of our queues that it does not have. Both are unknown
   * for foreign instances.
   * @throws {InstanceError} when the instance does not answer or does not accept the shared secret.
   */
  async testAuthentication(
    signal: AbortSignal,
  ): Promise<{ readonly date: number | null; readonly unknownQueues: readonly string[] }> {
    const names = this.queues.kind === "one" ? [this.queues.name] : this.queues.names;
    const path = `test/auth?${new URLSearchParams({ queues: names.join(",") })}`;
    const options = { timeoutMs: 10_000, signal };
    const { headers } = await this.#request("GET", path, this.#ownHeaders(), undefined, options);
    const date = Date.parse(headers.date ?? "");
    const unknown = new Set((headers[executorHeaders.unknownQueues] ?? "").split(","));
    return { date: Number.isNaN(date) ? null : date, unknownQueues: names.filter((name) => unknown.has(name)) };
  }

  /**
   * Sends a heartbeat without jobs and without telemetry, which instances of every generation answer.
   * @throws {InstanceError} when the instance does not answer or does not accept the shared secret.
   */
  async ping(signal: AbortSignal): Promise<void> {
    const { queues, executorName } = this;
    const [path, body] =
      queues.kind === "one"
        ? [`queue/${queues.name}/heartbeat`, { executorName }]
        : ["queue/heartbeat", { executorName, queueNames: queues.names }];
    await this.#request("POST", path, this.#ownHeaders(), body, { signal, timeoutMs: 10_000 });
  }

  /** Takes the next job. `undefined`: there was no job within `waitMs`. The signal ends only the wait. */
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
      airlock: { waitMs, capabilities: [...this.#capabilities], labels: { ...labels } },
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
      throw new AirlockError("the instance sent a job that this executor does not understand", {
        code: "payload-invalid",
        hint: "Use matching versions of executor and instance.",
        cause: parsed.error,
      });
    }
    const payload = parsed.data;
    const queue = payload.queue ?? (this.queues.kind === "one" ? this.queues.name : "");
    return { payload, queue, key: jobKey(queue, payload.id) };
  }

  /** @param jobs The running jobs. May be empty: then the heartbeat only shows that the executor is there. */
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
    // Instances written in Go send an empty list as null.
    const parsed = withMembersCase(parseJson(answer.text) ?? []);
    const news = HeartbeatResponse.safeParse(parsed);
    if (!news.success) {
      // An unreadable answer must not count as "none of your jobs is known": the heartbeat has failed.
      throw new AirlockError("the instance sent an unexpected response to a heartbeat", {
        code: "heartbeat-invalid",
        cause: news.error,
      });
    }
    const keys = new Map(jobs.map((job) => [wireId(job, queues), job.key]));
    const ours = (ids: readonly string[]) => new Set(ids.flatMap((id) => keys.get(id) ?? []));
    const tellsCancellations = !Array.isArray(parsed) && Object.hasOwn(Object(parsed), "cancelIds");
    const canceled = tellsCancellations
      ? news.data.cancelIds
      : await this.#askForCancellations(jobs, Array.isArray(parsed) ? "canceled" : "canceledJobs", signal);
    return { known: ours(news.data.knownIds), canceled: ours(canceled), intake: intakeOf(news.data.airlock) };
  }

  /** Instances before 5.0 report cancellations on a separate route, and those from 2022 on yet another one. */
  async #askForCancellations(
    jobs: readonly DequeuedJob[],
    route: "canceled" | "canceledJobs",
    signal: AbortSignal,
  ): Promise<readonly string[]> {
    if (jobs.length === 0 || this.queues.kind === "several") return [];
    const body = { executorName: this.executorName, knownJobIds: jobs.map(({ payload }) => payload.id) };
    try {
      const path = `queue/${this.queues.name}/${route}`;
      const answer = await this.#request("POST", path, this.#ownHeaders(), body, { signal, timeoutMs: 5000 });
      const ids = CanceledJobs.safeParse(parseJson(answer.text));
      return ids.success ? ids.data : [];
    } catch (error) {
      // The heartbeat itself succeeded, so its leases and known jobs stay valid.
      if (error instanceof AirlockError) return [];
      throw error;
    }
  }

  credentials({ payload }: DequeuedJob): JobCredentials {
    return {
      authorization: payload.token ? `Bearer ${payload.token}` : `${sharedSecretScheme} ${this.#options.sharedSecret}`,
      [executorHeaders.jobId]: String(payload.id),
      [executorHeaders.executorName]: this.executorName,
    };
  }

  /** Headers for the git endpoint. */
  gitCredentials(job: DequeuedJob): JobCredentials {
    return { ...this.credentials(job), [executorHeaders.actor]: "internal" };
  }

  /** Credentials for git without a job. Only instances that accept the shared secret for repositories take them. */
  ownGitCredentials(): JobCredentials {
    return { ...this.#ownHeaders(), [executorHeaders.actor]: "internal" };
  }

  /** @throws {InstanceError} status 409 with a `LogConflict` when the batch does not continue the stored log. */
  async appendLogs(job: DequeuedJob, events: readonly OutgoingLogEvent[], signal: AbortSignal): Promise<void> {
    let memory: Buffer | undefined;
    const body = logBatchJson(
      { executorName: this.executorName, jobId: job.payload.id, attempt: job.payload.airlock?.attempt ?? 1 },
      events,
      (bytes) => {
        memory = this.#bodies.take(bytes);
        return memory;
      },
    );
    await this.#request("POST", `queue/${job.queue}/logs`, this.credentials(job), body, {
      signal,
      timeoutMs: requestTimeoutMs,
    });
    if (memory) this.#bodies.give(memory);
  }

  async addLogEntry(job: DequeuedJob, entry: LogEntryFields, signal: AbortSignal): Promise<number> {
    const answer = await this.#jobRequest(job, "addExecutionLogEntry", entry, signal);
    const id = Number(answer.text.trim());
    if (!Number.isSafeInteger(id)) {
      throw new AirlockError("the instance sent an unexpected response to a new log entry", {
        code: "log-entry-invalid",
      });
    }
    return id;
  }

  async updateLogEntry(job: DequeuedJob, entryId: number, entry: LogEntryFields, signal: AbortSignal): Promise<void> {
    await this.#jobRequest(job, "updateExecutionLogEntry", { ...entry, entryId }, signal);
  }

  async reportUsage(job: DequeuedJob, usage: StepUsage, signal: AbortSignal): Promise<void> {
    await this.#jobRequest(job, "usage", { ...attemptOf(job), usage }, signal);
  }

  /** @throws {InstanceError} status 409 when the attempt has lapsed, 413 when the artifact is too large. */
  async uploadArtifact(
    job: DequeuedJob,
    { name, kind }: { readonly name: string; readonly kind: ArtifactKind },
    bytes: Readable,
    signal: AbortSignal,
  ): Promise<void> {
    const query = new URLSearchParams({ attempt: String(job.payload.airlock?.attempt ?? 1), name, kind });
    await this.#http.request({
      method: "PUT",
      path: `.executors/queue/${job.queue}/artifacts?${query}`,
      headers: { ...this.credentials(job), "content-type": "application/octet-stream" },
      bytes,
      timeoutMs: uploadTimeoutMs,
      signal,
    });
  }

  async markComplete(job: DequeuedJob, end: JobEnd, signal: AbortSignal): Promise<void> {
    await this.#jobRequest(job, "markComplete", { ...end, ...attemptOf(job) }, signal);
  }

  async markErrored(job: DequeuedJob, error: JobFault, signal: AbortSignal): Promise<void> {
    await this.#jobRequest(job, "markErrored", { ...error, ...attemptOf(job) }, signal);
  }

  /** Ends an attempt that an earlier process held, under that process's name and with the job's token. */
  async giveUp(held: HeldAttempt, error: JobFault, signal: AbortSignal): Promise<void> {
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

  /** Reads a file whose content is not in the job's payload. */
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

  /** Opens the stream of server-sent events, which delivers cancellations immediately. */
  async openEvents(signal: AbortSignal): Promise<AsyncIterable<Buffer>> {
    return await this.#http.stream({
      method: "GET",
      path: `.executors/events?executorName=${encodeURIComponent(this.executorName)}`,
      headers: { ...this.#ownHeaders(), accept: "text/event-stream" },
      timeoutMs: requestTimeoutMs,
      signal,
    });
  }

  /** Passes on a step's upload with the job's token. `path` is relative to the instance's URL. */
  async sendUpload(
    { payload }: DequeuedJob,
    { method, path, headers, body }: Parameters<SendUpload>[0],
    signal: AbortSignal,
  ): Promise<UploadAnswer> {
    const answer = await this.#http.exchange({
      method,
      path,
      headers: { ...headers, authorization: `Bearer ${payload.token}` },
      ...(body === null ? {} : { bytes: body }),
      timeoutMs: uploadTimeoutMs,
      signal,
    });
    const type = answer.headers["content-type"];
    return { status: answer.status, contentType: typeof type === "string" ? type : undefined, body: answer.body };
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
    const startedAt = performance.now();
    let failed = true;
    try {
      const answer = await this.#http.request({ method, path: `.executors/${path}`, headers, body, ...options });
      failed = false;
      return answer;
    } finally {
      const route = path.split("/").at(-1) ?? "";
      const operation = operationsByRoute.get(route);
      if (operation) this.#onAnswered(operation, failed, performance.now() - startedAt);
    }
  }
}

/** Names that the protocol's dashboards use. */
const operationsByRoute: ReadonlyMap<string, string> = new Map([
  ["dequeue", "Dequeue"],
  ["heartbeat", "Heartbeat"],
  ["markComplete", "MarkComplete"],
  ["markErrored", "MarkErrored"],
  ["markFailed", "MarkFailed"],
  ["addExecutionLogEntry", "AddExecutionLogEntry"],
  ["updateExecutionLogEntry", "UpdateExecutionLogEntry"],
  ["logs", "AppendLogs"],
]);

const CanceledJobs = z
  .array(z.union([z.int(), z.string()]).transform(String))
  .nullable()
  .transform((ids) => ids ?? []);

/** Corrects the case of member names: Go implementations of the protocol accept any case. */
function withMembersCase(answer: unknown): unknown {
  if (typeof answer !== "object" || answer === null || Array.isArray(answer)) return answer;
  const names = new Map(["knownIds", "cancelIds"].map((name) => [name.toLowerCase(), name]));
  return Object.fromEntries(
    Object.entries(answer).map(([name, value]) => [names.get(name.toLowerCase()) ?? name, value]),
  );
}

export type LogEntryFields = Omit<UpdateLogEntryRequest, "executorName" | "jobId" | "entryId">;
export type JobFault = Pick<MarkErrorRequest, "errorMessage" | "reason" | "exitCode" | "steps">;
export type JobEnd = Pick<MarkCompleteRequest, "steps">;

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
  } catch {
    // The parser's message quotes the text, which may be a job with its secrets.
    const what = text.trimStart().startsWith("<") ? "HTML, not JSON" : `not JSON (${text.length} characters)`;
    throw new AirlockError(`the instance's response is ${what}`, {
      code: "not-json",
      hint: "Check that EXECUTOR_FRONTEND_URL is the instance's address, and that no proxy answers in its place.",
    });
  }
}

function intakeOf(extension: HeartbeatResponse["airlock"]): Intake {
  if (!extension?.drain) return "open";
  return extension.stay ? "pause" : "drain";
}
