import type { IncomingMessage, ServerResponse } from "node:http";
import { buffer, text } from "node:stream/consumers";
import type { JobPayloadWire, LogEvent } from "@airlock/api";
import { LoopbackServer, serveGit } from "@airlock/test-kit";
import { ownLine } from "../logs/own-voice.ts";
import { LfsObjects } from "./lfs-objects.ts";

export const testSecret = "shared-secret-of-the-tests";

/** Members of all kinds of requests. Each request has some of them. */
export interface RecordedBody {
  readonly executorName?: string;
  readonly jobId?: number;
  readonly jobIds?: readonly number[];
  readonly attempt?: number;
  readonly errorMessage?: string;
  readonly reason?: string;
  readonly exitCode?: number;
  readonly entryId?: number;
  readonly key?: string;
  readonly command?: string[];
  readonly out?: string;
  readonly queueNames?: readonly string[];
  readonly jobIdsByQueue?: readonly { readonly queueName: string; readonly jobIds: readonly string[] }[];
  readonly events?: LogEvent[];
  readonly airlock?: {
    readonly waitMs?: number;
    readonly capabilities?: readonly string[];
    readonly attempts?: Record<string, number>;
    readonly draining?: boolean;
    readonly paused?: boolean;
  };
}

export interface RecordedRequest {
  readonly path: string;
  readonly headers: IncomingMessage["headers"];
  readonly body: RecordedBody;
}

/** Answers a request in place of the instance. `undefined`: the instance answers. */
export type Intervention = (
  request: RecordedRequest,
) => { readonly status: number; readonly body?: unknown } | "drop" | undefined;

export interface ScriptedInstanceOptions {
  /** Directory with bare repositories `<name>`, which the git endpoint serves. */
  readonly repositoriesDir?: string;
}

type Entry = {
  key: string;
  command: string[];
  /** Output, with notes between it. */
  out: string;
  exitCode: number | null;
  offset: number;
  notes: number;
};

/**
 * An instance for tests, over real HTTP. It speaks the protocol without extensions (as a foreign instance) unless a
 * payload has `airlock`. Tests can intercept its requests.
 */
export class ScriptedInstance implements AsyncDisposable {
  readonly requests: RecordedRequest[] = [];
  readonly jobs: JobPayloadWire[] = [];
  /** Ids that heartbeat responses leave out of the known jobs. */
  readonly unknown = new Set<number>();
  readonly canceled = new Set<number>();
  /** Uploaded artifacts by name; the last one of each name. */
  readonly artifacts = new Map<string, Buffer>();
  readonly gitRequests: RecordedRequest[] = [];
  readonly lfs = new LfsObjects();
  intervene: Intervention = () => undefined;
  /** Number of jobs to hand out over connections that break before the first byte. */
  cutHandOuts = 0;
  /** URL that the git endpoint redirects to. */
  redirectGitTo: string | undefined;
  readonly #entries = new Map<number, Entry[]>();
  readonly #options: ScriptedInstanceOptions;
  #server!: LoopbackServer;
  readonly #parked = new Set<() => void>();
  readonly #streams = new Set<ServerResponse>();
  readonly #changes = new Set<() => void>();

  private constructor(options: ScriptedInstanceOptions) {
    this.#options = options;
  }

  static async start(options: ScriptedInstanceOptions = {}): Promise<ScriptedInstance> {
    const instance = new ScriptedInstance(options);
    instance.#server = await LoopbackServer.start((request, response) => void instance.#serve(request, response));
    return instance;
  }

  get url(): string {
    return this.#server.url;
  }

  enqueue(job: JobPayloadWire): void {
    this.jobs.push(job);
    for (const wake of this.#parked) wake();
  }

  /** Bodies of all requests whose path ends with `/route`, in order. */
  bodies(route: string): RecordedBody[] {
    return this.requests.filter(({ path }) => path.endsWith(`/${route}`)).map(({ body }) => body);
  }

  entries(jobId: number): readonly Entry[] {
    return this.#entries.get(jobId) ?? [];
  }

  output(jobId: number, key: string): string {
    return this.entries(jobId).find((entry) => entry.key === key)?.out ?? "";
  }

  /** Resolves when the condition holds. Checks it after every request and every 20 ms. */
  async until(condition: () => boolean): Promise<void> {
    while (!condition()) {
      await new Promise<void>((resolve) => {
        const look = () => {
          this.#changes.delete(look);
          resolve();
        };
        this.#changes.add(look);
        setTimeout(look, 20);
      });
    }
  }

  sendEvent(event: object): void {
    for (const stream of this.#streams) stream.write(`event: message\ndata: ${JSON.stringify(event)}\n\n`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server[Symbol.asyncDispose]();
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = request.url ?? "";
    if (path.includes("/info/lfs/")) return await this.lfs.serve(request, response);
    if (path.startsWith("/.executors/git/")) return await this.#serveGit(request, response);
    if (request.method === "PUT") return await this.#takeArtifact(request, response);
    const source = await text(request);
    const recorded = {
      path: path.replace(/\?.*/, ""),
      headers: request.headers,
      body: (source === "" ? {} : JSON.parse(source)) as RecordedBody,
    };
    this.requests.push(recorded);
    const answer = this.intervene(recorded);
    if (answer === "drop") {
      request.socket.destroy();
    } else if (answer) {
      respond(response, answer.status, answer.body);
    } else if (recorded.path === "/.executors/events") {
      response.writeHead(200, { "content-type": "text/event-stream" });
      response.write(": hello\n\n");
      this.#streams.add(response);
      response.once("close", () => this.#streams.delete(response));
    } else {
      const result = await this.#answer(recorded, response);
      if (recorded.path.endsWith("/dequeue") && result.status === 200 && this.cutHandOuts > 0) {
        this.cutHandOuts -= 1;
        request.socket.destroy();
      } else respond(response, result.status, result.body);
    }
    for (const look of this.#changes) look();
  }

  async #takeArtifact(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? "", "http://localhost");
    // Ignore an upload that its sender aborted.
    const bytes = await buffer(request).catch(() => null);
    if (bytes === null) return;
    const recorded = { path: url.pathname, headers: request.headers, body: {} };
    this.requests.push(recorded);
    const answer = this.intervene(recorded);
    if (answer === "drop") return void request.socket.destroy();
    if (answer) return respond(response, answer.status, answer.body);
    this.artifacts.set(url.searchParams.get("name") ?? "", bytes);
    respond(response, 204, undefined);
    for (const look of this.#changes) look();
  }

  async #answer(
    { path, body, headers }: RecordedRequest,
    response: ServerResponse,
  ): Promise<{ status: number; body?: unknown }> {
    const route = path.split("/").at(-1);
    if (route === "auth" || route === "dequeue" || route === "heartbeat") {
      if (headers.authorization !== `token-executor ${testSecret}`) return { status: 401, body: "invalid token" };
    }
    switch (route) {
      case "auth":
        return { status: 200, body: "ok" };
      case "dequeue":
        return await this.#dequeue(body.airlock?.waitMs ?? 0, response);
      case "heartbeat":
        return { status: 200, body: this.#heartbeat(body) };
      case "addExecutionLogEntry": {
        const entries = this.#entriesOf(body.jobId);
        entries.push({
          key: body.key ?? "",
          command: body.command ?? [],
          out: body.out ?? "",
          exitCode: body.exitCode ?? null,
          offset: 0,
          notes: 0,
        });
        return { status: 200, body: entries.length };
      }
      case "updateExecutionLogEntry": {
        const entry = this.#entriesOf(body.jobId)[(body.entryId ?? 0) - 1];
        if (!entry) return { status: 500, body: { error: "unknown job" } };
        Object.assign(entry, { out: body.out ?? "", exitCode: body.exitCode ?? null });
        return { status: 204 };
      }
      case "logs":
        return this.#appendLogs(body.jobId, body.events ?? []);
      case "usage":
      case "markComplete":
      case "markErrored":
      case "markFailed":
        return { status: 204 };
      default:
        return { status: 404, body: "not found" };
    }
  }

  async #dequeue(waitMs: number, response: ServerResponse): Promise<{ status: number; body?: unknown }> {
    if (this.jobs.length === 0 && waitMs > 0) {
      const { promise, resolve } = Promise.withResolvers<void>();
      const timer = setTimeout(resolve, Math.min(waitMs, 3000));
      response.once("close", resolve);
      this.#parked.add(resolve);
      await promise;
      clearTimeout(timer);
      this.#parked.delete(resolve);
    }
    const job = this.jobs.shift();
    return job ? { status: 200, body: job } : { status: 204 };
  }

  #heartbeat(body: RecordedBody): unknown {
    const ids: number[] = (body.jobIds ?? []).map(Number);
    const known = ids.filter((id) => !this.unknown.has(id));
    return { knownIds: known.map(String), cancelIds: known.filter((id) => this.canceled.has(id)).map(String) };
  }

  #entriesOf(jobId = 0): Entry[] {
    const entries = this.#entries.get(jobId) ?? [];
    this.#entries.set(jobId, entries);
    return entries;
  }

  #appendLogs(jobId: number | undefined, events: LogEvent[]): { status: number; body?: unknown } {
    const entries = this.#entriesOf(jobId);
    for (const event of events) {
      const entry = entries[event.entryId - 1];
      if (event.kind === "open") {
        entries[event.entryId - 1] ??= {
          key: event.key,
          command: event.command,
          out: "",
          exitCode: null,
          offset: 0,
          notes: 0,
        };
      } else if (!entry) {
        return { status: 409, body: { error: "entry is not open", entryId: event.entryId, expectedOffset: 0 } };
      } else if (event.kind === "close") {
        entry.exitCode = event.exitCode;
      } else if (event.kind === "note") {
        if (event.noteId !== entry.notes + 1) continue;
        entry.notes += 1;
        const line = ownLine(event.text);
        entry.out += entry.out === "" || entry.out.endsWith("\n") ? line : `\n${line}`;
      } else {
        const bytes = Buffer.from(event.data, "base64");
        if (event.offset + bytes.length <= entry.offset) continue;
        if (event.offset !== entry.offset) {
          return { status: 409, body: { error: "gap", entryId: event.entryId, expectedOffset: entry.offset } };
        }
        entry.out += bytes.toString("latin1");
        entry.offset += bytes.length;
      }
    }
    return { status: 204 };
  }

  async #serveGit(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? "", "http://localhost");
    const recorded = { path: url.pathname, headers: request.headers, body: {} };
    this.gitRequests.push(recorded);
    const answer = this.intervene(recorded);
    if (answer && answer !== "drop") return respond(response, answer.status, answer.body);
    if (this.redirectGitTo) {
      response.writeHead(302, { location: `${this.redirectGitTo}${request.url}` });
      response.end();
      return;
    }
    const repositoriesDir = this.#options.repositoriesDir ?? "/nonexistent";
    await serveGit(request, response, { mount: "/.executors/git", repositoriesDir });
  }
}

function respond(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status);
  response.end(body === undefined ? undefined : typeof body === "string" ? body : JSON.stringify(body));
}
