import { executorHeaders, HeartbeatResponse, JobPayload, type LogBatchRequest, type StepUsage } from "@airlock/api";

type LogEvent = LogBatchRequest["events"][number];

export interface ScriptedExecutorOptions {
  readonly url: string;
  readonly executorToken: string;
  readonly name: string;
}

/**
 * An executor that runs nothing. A test controls over the real executor API what its job does and when, so that it can
 * examine every state of the UI.
 */
export class ScriptedExecutor {
  private readonly options: ScriptedExecutorOptions;

  constructor(options: ScriptedExecutorOptions) {
    this.options = options;
  }

  /** Takes the next job of the queue, and waits up to 5 s for one. @throws if there is none. */
  async dequeue(queue = "default"): Promise<ScriptedJob> {
    const { name } = this.options;
    const response = await this.post(`queue/${queue}/dequeue`, {
      executorName: name,
      version: "0.1.0",
      airlock: {
        waitMs: 5000,
        capabilities: ["attempts", "log-batch", "log-notes", "results", "secret-files"],
        labels: {},
      },
    });
    if (response.status === 204) throw new Error(`no job waits in ${queue}`);
    return new ScriptedJob(this.options, queue, JobPayload.parse(await response.json()));
  }

  /** Sends a heartbeat. Returns the ids of jobs to stop. */
  async heartbeat(jobs: readonly ScriptedJob[] = [], queue = "default"): Promise<readonly string[]> {
    const response = await this.post(`queue/${queue}/heartbeat`, {
      executorName: this.options.name,
      version: "V2",
      jobIds: jobs.map((job) => job.id),
      os: "linux",
      architecture: "amd64",
      executorVersion: "0.1.0",
      gitVersion: "2.47.1",
      airlock: {
        attempts: Object.fromEntries(jobs.map((job) => [String(job.id), job.attempt])),
        runtime: "oci",
        runtimeVersion: "crun 1.19",
        slots: 2,
        labels: { zone: "test" },
        paused: false,
      },
    });
    return HeartbeatResponse.parse(await response.json()).cancelIds;
  }

  private post(path: string, body: unknown): Promise<Response> {
    return send(`${this.options.url}/.executors/${path}`, body, {
      authorization: `token-executor ${this.options.executorToken}`,
    });
  }
}

export class ScriptedJob {
  readonly id: number;
  readonly attempt: number;
  private readonly options: ScriptedExecutorOptions;
  private readonly queue: string;
  private readonly token: string;
  private readonly lengths: number[] = [];
  private readonly noteCounts: number[] = [];

  constructor(options: ScriptedExecutorOptions, queue: string, payload: JobPayload) {
    this.options = options;
    this.queue = queue;
    this.id = payload.id;
    this.token = payload.token;
    this.attempt = payload.airlock?.attempt ?? 1;
  }

  /** Opens a log entry and returns its id. */
  async open(key: string, command: string[] = ["/bin/sh", "-c", key]): Promise<number> {
    this.lengths.push(0);
    const entryId = this.lengths.length;
    await this.log([{ kind: "open", entryId, key, command, startTime: new Date().toISOString() }]);
    return entryId;
  }

  async print(entryId: number, text: string, stream: "stdout" | "stderr" = "stdout"): Promise<void> {
    const bytes = Buffer.from(text);
    const chunks: LogEvent[] = [];
    for (let at = 0; at < bytes.length; at += 200_000) {
      const part = bytes.subarray(at, at + 200_000);
      const offset = this.lengths[entryId - 1] ?? 0;
      this.lengths[entryId - 1] = offset + part.length;
      chunks.push({ kind: "chunk", entryId, offset, stream, data: part.toString("base64") });
    }
    for (let at = 0; at < chunks.length; at += 4) await this.log(chunks.slice(at, at + 4));
  }

  /** Adds a message of the executor. */
  async note(entryId: number, text: string): Promise<void> {
    const noteId = (this.noteCounts[entryId - 1] ?? 0) + 1;
    this.noteCounts[entryId - 1] = noteId;
    await this.log([{ kind: "note", entryId, noteId, offset: this.lengths[entryId - 1] ?? 0, text }]);
  }

  async close(entryId: number, exitCode: number, durationMs = 1200): Promise<void> {
    await this.log([{ kind: "close", entryId, exitCode, durationMs }]);
  }

  /** Reports what a step used. */
  async use(usage: StepUsage): Promise<void> {
    await this.post("usage", { jobId: this.id, attempt: this.attempt, usage });
  }

  /** Uploads an artifact. */
  async upload(name: string, kind: "file-archive" | "diff", contents: string | Uint8Array<ArrayBuffer>): Promise<void> {
    const query = new URLSearchParams({ attempt: String(this.attempt), name, kind });
    const response = await fetch(`${this.options.url}/.executors/queue/${this.queue}/artifacts?${query}`, {
      method: "PUT",
      headers: {
        authorization: `Bearer ${this.token}`,
        [executorHeaders.jobId]: String(this.id),
        [executorHeaders.executorName]: this.options.name,
        "content-type": "application/octet-stream",
      },
      body: contents,
    });
    if (!response.ok) throw new Error(`the upload was answered ${response.status}: ${await response.text()}`);
  }

  async complete(): Promise<void> {
    await this.post("markComplete", { jobId: this.id, attempt: this.attempt });
  }

  async fail(errorMessage: string, exitCode: number): Promise<void> {
    const end = { jobId: this.id, attempt: this.attempt, errorMessage, reason: "step-failed", exitCode };
    await this.post("markFailed", end);
  }

  private async log(events: readonly LogEvent[]): Promise<void> {
    await this.post("logs", { jobId: this.id, attempt: this.attempt, events });
  }

  private async post(path: string, body: Record<string, unknown>): Promise<void> {
    const { url, name } = this.options;
    await send(
      `${url}/.executors/queue/${this.queue}/${path}`,
      { executorName: name, ...body },
      {
        authorization: `Bearer ${this.token}`,
        [executorHeaders.jobId]: String(this.id),
        [executorHeaders.executorName]: name,
      },
    );
  }
}

async function send(url: string, body: unknown, headers: Record<string, string>): Promise<Response> {
  const response = await fetch(url, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: JSON.stringify(body),
  });
  if (!response.ok) throw new Error(`${url}: ${response.status} ${await response.text()}`);
  return response;
}
