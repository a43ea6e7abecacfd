import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from "node:http";
import { buffer } from "node:stream/consumers";
import { LoopbackServer } from "../servers/loopback-server.ts";
import { serveGit } from "../servers/serve-git.ts";

/** The protocol generation of an instance. Executors are not told which it is. */
export type ProtocolGeneration = "2022" | "4.x" | "5.x";

export const foreignSecret = "the-shared-secret-of-a-foreign-instance";

/** A step, with the fields of all generations. */
export interface ForeignStep {
  /** Since 4.x. */
  readonly key?: string;
  readonly image: string;
  readonly commands: readonly string[];
  readonly dir?: string;
  readonly env?: readonly string[];
}

/** A job that a test queues. Each generation builds its own payload from it. */
export interface ForeignJob {
  readonly queue?: string;
  readonly repositoryName?: string;
  readonly commit?: string;
  readonly repositoryDirectory?: string;
  readonly fetchTags?: boolean;
  readonly shallowClone?: boolean;
  readonly sparseCheckout?: readonly string[];
  /** Plain text; encoded as the generation demands. */
  readonly files?: Readonly<Record<string, ForeignFile>>;
  readonly steps: readonly ForeignStep[];
  readonly redactedValues?: Readonly<Record<string, string>>;
  readonly dockerAuthConfig?: object;
}

interface ForeignFile {
  readonly content?: string;
  /** Served by the files endpoint instead of `content`. */
  readonly stored?: { readonly bucket: string; readonly key: string; readonly content: string };
  readonly modifiedAt?: string;
}

export interface ForeignLogEntry {
  readonly key: string;
  readonly command: readonly string[] | null;
  readonly startTime: string;
  readonly out: string;
  readonly exitCode: number | undefined;
  readonly durationMs: number | undefined;
  /** `out` of each request, including the first. */
  readonly history: readonly { readonly out: string; readonly at: number }[];
}

export interface ForeignRequest {
  /** Path below `/.executors/`. */
  readonly route: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: Readonly<Record<string, unknown>>;
  readonly at: number;
}

interface StoredJob {
  readonly id: number;
  readonly job: ForeignJob;
  readonly token: string;
  readonly queue: string;
  executor: string | undefined;
  readonly entries: ForeignLogEntry[];
  end: ForeignEnd | undefined;
}

export interface ForeignEnd {
  readonly kind: "markComplete" | "markErrored" | "markFailed";
  readonly errorMessage: string | undefined;
  readonly body: Readonly<Record<string, unknown>>;
}

export interface ForeignInstanceOptions {
  readonly generation: ProtocolGeneration;
  /** Directory of bare repositories, by name. */
  readonly repositoriesDir: string;
}

/** An error response. The body is plain text, or `{"error"}` for 500. */
class Refusal extends Error {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

/**
 * An instance that implements only the protocol: real HTTP, real git, the statuses and formats of one generation. It
 * has no extensions, ignores unknown members, and checks credentials as its generation did. Protocol violations of an
 * executor are recorded in `violations`.
 */
export class ForeignInstance implements AsyncDisposable {
  readonly requests: ForeignRequest[] = [];
  readonly gitRequests: ForeignRequest[] = [];
  readonly violations: string[] = [];
  /** Ids that heartbeat responses omit. */
  readonly forgotten = new Set<number>();
  readonly canceled = new Set<number>();
  /** Returns an error status for requests of a route, or `undefined` to serve them. */
  failing: (route: string) => number | undefined = () => undefined;
  /** Name of the member in heartbeat responses. Go clients ignore its case, so instances may use another one. */
  knownIdsName = "knownIds";
  readonly #options: ForeignInstanceOptions;
  readonly #jobs = new Map<number, StoredJob>();
  #server!: LoopbackServer;
  #ids = 0;

  private constructor(options: ForeignInstanceOptions) {
    this.#options = options;
  }

  static async start(options: ForeignInstanceOptions): Promise<ForeignInstance> {
    const instance = new ForeignInstance(options);
    instance.#server = await LoopbackServer.start((request, response) => void instance.#serve(request, response));
    return instance;
  }

  get url(): string {
    return this.#server.url;
  }

  /** Stops answering: connections are cut, new ones refused. The state stays. */
  async suspend(): Promise<void> {
    await this.#server.suspend();
  }

  /** Starts answering again at the same address. */
  async resume(): Promise<void> {
    await this.#server.resume();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server[Symbol.asyncDispose]();
  }

  enqueue(job: ForeignJob): number {
    this.#ids += 1;
    const id = this.#ids;
    const token = this.#options.generation === "5.x" ? id.toString(16).padStart(40, "c") : "";
    const queue = job.queue ?? "batches";
    this.#jobs.set(id, { id, job, token, queue, executor: undefined, entries: [], end: undefined });
    return id;
  }

  /** Removes a job that no executor has dequeued. */
  withdraw(id: number): void {
    this.#jobs.delete(id);
  }

  entries(id: number): readonly ForeignLogEntry[] {
    return this.#jobs.get(id)?.entries ?? [];
  }

  /** Text of the entry, with stream prefixes. */
  out(id: number, key: string): string {
    return this.entries(id).find((entry) => entry.key === key)?.out ?? "";
  }

  end(id: number): ForeignEnd | undefined {
    return this.#jobs.get(id)?.end;
  }

  token(id: number): string {
    return this.#jobs.get(id)?.token ?? "";
  }

  /** Requests whose route ends with `route`, in order. */
  requestsOf(route: string): readonly ForeignRequest[] {
    return this.requests.filter((request) => request.route.endsWith(route));
  }

  async until(condition: () => boolean): Promise<void> {
    while (!condition()) await new Promise((resolve) => setTimeout(resolve, 20));
  }

  async ended(id: number): Promise<ForeignEnd> {
    await this.until(() => this.end(id) !== undefined);
    return this.end(id) as ForeignEnd;
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? "/", "http://instance");
    const route = url.pathname.replace(/^\/\.executors\//, "");
    try {
      if (route.startsWith("git/")) return await this.#serveGit(request, response, route);
      const text = (await buffer(request)).toString();
      const body = parseBody(text);
      this.requests.push({ route, headers: request.headers, body, at: performance.now() });
      const status = this.failing(route);
      if (status !== undefined) throw new Refusal(status, "on purpose");
      const answer = this.#answer(request.method ?? "", route, request.headers, body);
      response.writeHead(answer === undefined ? 204 : 200);
      response.end(answer);
    } catch (error) {
      const status = error instanceof Refusal ? error.status : 500;
      const message = error instanceof Error ? error.message : "";
      if (status !== 404 && !(error instanceof Refusal && message === "on purpose")) {
        this.violations.push(`${request.method} ${route}: ${message}`);
      }
      if (!response.headersSent) response.writeHead(status);
      response.end(status === 500 ? JSON.stringify({ error: message }) : message);
    }
  }

  /** Returns the body of the response. `undefined`: status 204. */
  #answer(
    method: string,
    route: string,
    headers: IncomingHttpHeaders,
    body: Record<string, unknown>,
  ): string | Buffer | undefined {
    if (method === "GET" && route === "test/auth") {
      this.#requireSecret(headers);
      return "ok";
    }
    if (method === "GET" && route.startsWith("files/")) return this.#file(route.slice("files/".length), headers);
    if (method !== "POST" || !route.startsWith("queue/")) throw new Refusal(404, "not found");
    const [queue, name = ""] = splitRoute(route);
    if (text(body, "executorName") === "") throw new Refusal(500, "the executor's name is empty");
    switch (name) {
      case "dequeue":
        this.#requireSecret(headers);
        return this.#dequeue(queue, body);
      case "heartbeat":
        this.#requireSecret(headers);
        return JSON.stringify(queue === undefined ? this.#multiHeartbeat(body) : this.#heartbeat(queue, body));
      case "canceled":
      case "canceledJobs":
        this.#requireSecret(headers);
        return this.#canceledJobs(name, body);
    }
    const job = this.#jobOf(queue ?? "", headers, body);
    switch (name) {
      case "addExecutionLogEntry":
        return this.#addLog(job, body);
      case "updateExecutionLogEntry":
        return this.#updateLog(job, body);
      case "markComplete":
      case "markErrored":
      case "markFailed":
        if (!job || job.end || this.forgotten.has(job.id)) throw new Refusal(404, "null");
        job.end = { kind: name, body, errorMessage: name === "markComplete" ? undefined : text(body, "errorMessage") };
        return undefined;
      default:
        throw new Refusal(404, "not found");
    }
  }

  #requireSecret(headers: IncomingHttpHeaders): void {
    if (headers.authorization !== `token-executor ${foreignSecret}`) throw new Refusal(401, "the secret is wrong");
  }

  #dequeue(queue: string | undefined, body: Record<string, unknown>): string | undefined {
    const { generation } = this.#options;
    if (queue === undefined && generation !== "5.x") throw new Refusal(404, "no such route in this generation");
    const queues = queue === undefined ? strings(body.queues) : [queue];
    const next = [...this.#jobs.values()].find((each) => each.executor === undefined && queues.includes(each.queue));
    if (!next) return undefined;
    next.executor = text(body, "executorName");
    return JSON.stringify({ ...this.#payload(next), ...(queue === undefined ? { queue: next.queue } : {}) });
  }

  #payload({ id, job, token }: StoredJob): object {
    const { generation } = this.#options;
    const is2022 = generation === "2022";
    const dockerSteps = job.steps.map(({ key, image, commands, dir = ".", env }) => ({
      ...(is2022 || key === undefined ? {} : { key }),
      ...{ image, commands, dir, env: env ?? null },
    }));
    const base = {
      ...{ id, repositoryName: job.repositoryName ?? "", commit: job.commit ?? "", dockerSteps, cliSteps: null },
      redactedValues: job.redactedValues ?? null,
    };
    const files = Object.entries(job.files ?? {});
    if (is2022)
      return { ...base, files: Object.fromEntries(files.map(([path, { content }]) => [path, content ?? ""])) };
    const encode = (content: string) => (generation === "5.x" ? Buffer.from(content).toString("base64") : content);
    const written = files.map(([path, { content, stored, modifiedAt = "0001-01-01T00:00:00Z" }]) => [
      path,
      {
        ...(content === undefined ? {} : { content: encode(content) }),
        ...(stored ? { bucket: stored.bucket, key: stored.key } : {}),
        modifiedAt,
      },
    ]);
    const since4 = {
      ...base,
      repositoryDirectory: job.repositoryDirectory ?? "",
      fetchTags: job.fetchTags ?? false,
      shallowClone: job.shallowClone ?? false,
      sparseCheckout: job.sparseCheckout ?? null,
      files: files.length === 0 ? null : Object.fromEntries(written),
    };
    if (generation === "4.x") return since4;
    return { version: 2, ...since4, token, dockerAuthConfig: job.dockerAuthConfig ?? {} };
  }

  #heartbeat(queue: string, body: Record<string, unknown>): unknown {
    const { generation } = this.#options;
    const known = this.#known(queue, numbers(body.jobIds), text(body, "executorName"));
    if (generation === "2022" || body.version !== "V2") return known;
    if (generation === "4.x") return { [this.knownIdsName]: known };
    const canceled = known.filter((id) => this.canceled.has(id));
    return { [this.knownIdsName]: textsOrNull(known), cancelIds: textsOrNull(canceled) };
  }

  #multiHeartbeat(body: Record<string, unknown>): unknown {
    const names = strings(body.queueNames);
    if (names.length === 0) throw new Refusal(500, "queueNames is empty");
    const known: string[] = [];
    const canceled: string[] = [];
    for (const member of Array.isArray(body.jobIdsByQueue) ? body.jobIdsByQueue : []) {
      const { queueName, jobIds } = member as { queueName: string; jobIds: unknown };
      if (!names.includes(queueName)) throw new Refusal(500, `queue ${queueName} is not among queueNames`);
      if (strings(jobIds).length === 0) throw new Refusal(500, "jobIds are not texts");
      for (const id of this.#known(queueName, numbers(jobIds), text(body, "executorName"))) {
        known.push(`${id}-${queueName}`);
        if (this.canceled.has(id)) canceled.push(`${id}-${queueName}`);
      }
    }
    const orNull = (ids: string[]) => (ids.length === 0 ? null : ids);
    return { [this.knownIdsName]: orNull(known), cancelIds: orNull(canceled) };
  }

  #known(queue: string, ids: readonly number[], executor: string): number[] {
    return ids.filter((id) => {
      const job = this.#jobs.get(id);
      return job?.queue === queue && job.executor === executor && !job.end && !this.forgotten.has(id);
    });
  }

  #canceledJobs(name: "canceled" | "canceledJobs", body: Record<string, unknown>): string {
    const wanted = { "2022": "canceled", "4.x": "canceledJobs", "5.x": "" }[this.#options.generation];
    if (name !== wanted) throw new Refusal(404, "no such route in this generation");
    const executor = text(body, "executorName");
    const own = [...this.canceled].filter((id) => this.#jobs.get(id)?.executor === executor && !this.end(id));
    return JSON.stringify(name === "canceled" ? own : own.filter((id) => numbers(body.knownJobIds).includes(id)));
  }

  #jobOf(queue: string, headers: IncomingHttpHeaders, body: Record<string, unknown>): StoredJob | undefined {
    const id = Number(body.jobId);
    if (!Number.isInteger(body.jobId)) throw new Refusal(400, "jobId is not a number");
    const job = this.#jobs.get(id);
    this.#requireJob(job, headers);
    if (job && job.queue !== queue) throw new Refusal(403, "the queue is another one");
    return job && job.executor === text(body, "executorName") ? job : undefined;
  }

  #requireJob(job: StoredJob | undefined, headers: IncomingHttpHeaders): void {
    if (headers["x-sourcegraph-job-id"] !== String(job?.id))
      throw new Refusal(400, "the header of the job's id is wrong");
    if (headers["x-sourcegraph-executor-name"] !== job?.executor)
      throw new Refusal(400, "the executor's header is wrong");
    const wanted = job?.token ? `Bearer ${job.token}` : `token-executor ${foreignSecret}`;
    if (headers.authorization !== wanted) throw new Refusal(401, "the credentials are not the job's");
  }

  #addLog(job: StoredJob | undefined, body: Record<string, unknown>): string {
    if (!job || job.end || this.forgotten.has(job.id)) throw new Refusal(500, "unknown job");
    job.entries.push(logEntry(body, []));
    return String(job.entries.length);
  }

  #updateLog(job: StoredJob | undefined, body: Record<string, unknown>): undefined {
    const index = Number(body.entryId) - 1;
    const before = job?.entries[index];
    if (!job || !before || job.end || this.forgotten.has(job.id)) throw new Refusal(500, "unknown job");
    const after = logEntry(body, before.history);
    if (after.key !== before.key || after.startTime !== before.startTime) {
      throw new Refusal(500, `entry ${index + 1} became another one`);
    }
    if (!after.out.startsWith(before.out)) throw new Refusal(500, `entry ${index + 1} is not cumulative`);
    job.entries[index] = after;
    return undefined;
  }

  #file(path: string, headers: IncomingHttpHeaders): Buffer {
    const job = this.#jobs.get(Number(headers["x-sourcegraph-job-id"]));
    this.#requireJob(job, headers);
    const stored = Object.values(job?.job.files ?? {}).find(
      (file) => file.stored && `${file.stored.bucket}/${file.stored.key}` === decodeURIComponent(path),
    );
    if (!stored?.stored) throw new Refusal(404, "no such file");
    return Buffer.from(stored.stored.content);
  }

  async #serveGit(request: IncomingMessage, response: ServerResponse, route: string): Promise<void> {
    this.gitRequests.push({ route, headers: request.headers, body: {}, at: performance.now() });
    const status = this.failing(route);
    if (status !== undefined) throw new Refusal(status, "on purpose");
    const job = this.#jobs.get(Number(request.headers["x-sourcegraph-job-id"]));
    this.#requireJob(job, request.headers);
    if (request.headers["x-sourcegraph-actor-uid"] !== "internal")
      throw new Refusal(403, "the actor header is missing");
    const suffix = /^git\/(.+)\/(?:info\/refs|git-upload-pack)$/.exec(decodeURIComponent(route));
    if (suffix?.[1] !== job?.job.repositoryName) throw new Refusal(403, "another repository");
    await serveGit(request, response, {
      mount: "/.executors/git",
      repositoriesDir: this.#options.repositoriesDir,
    });
  }
}

function logEntry(body: Record<string, unknown>, history: ForeignLogEntry["history"]): ForeignLogEntry {
  const out = text(body, "out");
  if (text(body, "key") === "" || Number.isNaN(Date.parse(text(body, "startTime")))) {
    throw new Refusal(400, "a log entry without key or start");
  }
  if ((body.exitCode === undefined) !== (body.durationMs === undefined)) {
    throw new Refusal(400, "exit code and duration do not come together");
  }
  for (const line of out.split("\n").slice(0, -1)) {
    if (!/^(?:stdout|stderr): /.test(line)) throw new Refusal(400, `a line without its stream: ${line.slice(0, 80)}`);
  }
  return {
    key: text(body, "key"),
    command: body.command === null ? null : strings(body.command),
    startTime: text(body, "startTime"),
    out,
    exitCode: integer(body.exitCode),
    durationMs: integer(body.durationMs),
    history: [...history, { out, at: performance.now() }],
  };
}

function integer(value: unknown): number | undefined {
  if (value === undefined) return undefined;
  if (!Number.isInteger(value)) throw new Refusal(400, "a number is not whole");
  return Number(value);
}

/** `queue/<name>/<action>`, or `queue/<action>` for several queues. */
function splitRoute(route: string): [queue: string | undefined, action: string | undefined] {
  const [, first, second] = route.split("/");
  return second === undefined ? [undefined, first] : [first, second];
}

function parseBody(source: string): Record<string, unknown> {
  const value: unknown = source === "" ? {} : JSON.parse(source);
  if (typeof value !== "object" || value === null) throw new Refusal(400, "the body is no object");
  return value as Record<string, unknown>;
}

function text(body: Record<string, unknown>, name: string): string {
  const value = body[name] ?? "";
  if (typeof value !== "string") throw new Refusal(400, `${name} is no text`);
  return value;
}

function strings(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((each) => typeof each === "string") : [];
}

function numbers(value: unknown): number[] {
  return Array.isArray(value) ? value.map(Number) : [];
}

/** Go encodes a nil slice as null. */
function textsOrNull(ids: readonly number[]): string[] | null {
  return ids.length === 0 ? null : ids.map(String);
}
