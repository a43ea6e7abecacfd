import { expect } from "vitest";

/** An instance under test, and a few operations that the executor protocol does not have. */
export interface ExecutorApiTarget extends AsyncDisposable {
  /** Without a trailing slash, e.g. `http://127.0.0.1:7080`. */
  readonly url: string;
  readonly sharedSecret: string;
  /**
   * Whether routes of a job accept the shared secret instead of the job's token, for executors from before job tokens.
   */
  readonly sharedSecretOpensJobs: boolean;
  /** Two repositories of the instance. `commit` is a full SHA from the history of the first one. */
  readonly repository: { readonly name: string; readonly commit: string };
  readonly otherRepository: { readonly name: string };
  /** Queues a job with one step and returns its id. The step's key is `main`. */
  enqueue(job: {
    readonly queue: string;
    readonly repository?: string;
    readonly commands: readonly string[];
  }): Promise<number>;
  requestCancel(jobId: number): Promise<void>;
  /** `queued`, `processing`, `completed`, `errored`, `failed` or `canceled`. */
  state(jobId: number): Promise<string>;
  /** The output of the last attempt: all entries concatenated, without `stdout: ` prefixes. */
  log(jobId: number): Promise<string>;
}

export interface Dequeued {
  readonly id: number;
  readonly token: string;
  readonly version?: number;
  readonly queue?: string;
  readonly repositoryName: string;
  readonly commit: string;
  readonly dockerSteps: readonly { key?: string; image: string; commands: string[]; dir: string; env: string[] }[];
  readonly [member: string]: unknown;
}

/** What the parts of the suite do as an executor. */
export type ExecutorPeer = ReturnType<typeof createExecutorPeer>;

/** @param getTarget Is called by tests only. */
export function createExecutorPeer(getTarget: () => ExecutorApiTarget) {
  const secret = (): Record<string, string> => ({ authorization: `token-executor ${getTarget().sharedSecret}` });
  const post = (path: string, body: unknown, headers: Record<string, string> = secret()): Promise<Response> =>
    fetch(`${getTarget().url}/.executors/${path}`, {
      method: "POST",
      headers: { "content-type": "application/json", ...headers },
      body: typeof body === "string" ? body : JSON.stringify(body),
    });
  const jobHeaders = (job: Dequeued, executorName: string): Record<string, string> => ({
    authorization: `Bearer ${job.token}`,
    "x-sourcegraph-job-id": String(job.id),
    "x-sourcegraph-executor-name": executorName,
  });
  const modern = { version: "5.3.0", numCPUs: 4, memory: "12G", diskSpace: "20G" };
  let names = 0;
  const newExecutor = (): string => `conformance-${process.pid}-${++names}`;

  /** Queues a job and dequeues it as a 5.x executor does. */
  async function takeJob(options: {
    queue?: string;
    repository?: string;
    executorName: string;
    request?: object;
  }): Promise<Dequeued> {
    const queue = options.queue ?? "batches";
    const id = await getTarget().enqueue({
      queue,
      commands: ["echo one", "echo two"],
      ...(options.repository ? { repository: options.repository } : {}),
    });
    const response = await post(`queue/${queue}/dequeue`, {
      executorName: options.executorName,
      ...modern,
      ...options.request,
    });
    expect(response.status).toBe(200);
    const job = (await response.json()) as Dequeued;
    expect(job.id).toBe(id);
    return job;
  }
  /** Executors before 5.0 have no job tokens. */
  const usesSharedSecret = (version: string): boolean => /^[1-4]\.|_2022-/.test(version);
  /** If job routes require job tokens, an executor without them could dequeue jobs but never report on them. */
  async function expectRefusal(request: object): Promise<void> {
    const response = await post("queue/batches/dequeue", { executorName: newExecutor(), ...request });
    expect([response.status, await response.text()]).toEqual([403, expect.stringContaining("shared secret")]);
  }
  async function finish(job: Dequeued, executorName: string, queue = "batches"): Promise<void> {
    const response = await post(
      `queue/${queue}/markComplete`,
      { executorName, jobId: job.id },
      jobHeaders(job, executorName),
    );
    expect(response.status).toBe(204);
  }

  return {
    get target() {
      return getTarget();
    },
    ...{ secret, post, jobHeaders, modern, newExecutor, takeJob, usesSharedSecret, expectRefusal, finish },
  };
}
