import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { noProxies } from "@airlock/proxy";
import type { InstanceConfig } from "../config/instance-config.ts";
import { type Instance, startInstance } from "../instance.ts";
import { defaultMirrorLimits } from "../repositories/mirror-limits.ts";

/** An instance for tests: in this process, on a free port, with a separate database on the test engine. */
export interface TestInstance extends AsyncDisposable {
  readonly instance: Instance;
  readonly url: string;
  readonly dataDirectory: string;
  /** Calls the REST API as the administrator. */
  rest(method: string, path: string, body?: unknown, headers?: Record<string, string>): Promise<Response>;
  /** Calls the executor API with the shared secret, or with other headers. */
  executor(path: string, body: unknown, headers?: Record<string, string>, signal?: AbortSignal): Promise<Response>;
  /** Submits a job and returns its id. */
  submit(spec?: Record<string, unknown>): Promise<number>;
}

/**
 * @param database An empty database, or one of another test instance. Disposed with the instance if it is disposable.
 */
export async function startTestInstance(
  database: { readonly url: string } & Partial<AsyncDisposable>,
  overrides: Partial<InstanceConfig> = {},
): Promise<TestInstance> {
  await using stack = new AsyncDisposableStack();
  stack.defer(() => database[Symbol.asyncDispose]?.());
  const dataDirectory = await mkdtemp(path.join(tmpdir(), "airlock-instance-"));
  stack.defer(() => rm(dataDirectory, { recursive: true, force: true }));
  const instance = stack.use(
    await startInstance({
      listen: { host: "127.0.0.1", port: 0 },
      dataDirectory,
      databaseUrl: database.url,
      administratorToken: "administrator-token-of-tests",
      executorToken: "executor-token-of-tests",
      secretKeys: null,
      externalUrl: null,
      allowedHosts: [],
      trustedProxies: [],
      blobStorage: null,
      maxArtifactBytes: 64 * 1024 * 1024,
      storageQuotas: {
        artifacts: { totalBytes: null, ownerBytes: null },
        uploads: { totalBytes: null, ownerBytes: null },
      },
      retention: { jobsMs: null, artifactsMs: null, uploadsMs: null },
      auditRetentionMs: null,
      mirrorLimits: defaultMirrorLimits,
      allowLocalRepositories: true,
      acceptSharedSecret: true,
      legacySharedSecret: false,
      localAccounts: true,
      metricsToken: null,
      openMetrics: false,
      openIdConnect: null,
      webhookHosts: [],
      logLevel: "fatal",
      webDirectory: path.join(dataDirectory, "no-web"),
      executablePath: "/usr/local/bin:/usr/bin:/bin",
      proxies: noProxies,
      ...overrides,
    }),
  );
  const resources = stack.move();
  const { url } = instance;

  async function rest(
    method: string,
    path: string,
    body?: unknown,
    headers: Record<string, string> = {},
  ): Promise<Response> {
    return fetch(`${url}/api/v1${path}`, {
      method,
      headers: {
        authorization: `Bearer ${instance.administratorToken}`,
        ...(body === undefined ? {} : { "content-type": "application/json" }),
        ...headers,
      },
      ...(body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) }),
    });
  }

  return {
    instance,
    url,
    dataDirectory,
    rest,
    executor: (path, body, headers = { authorization: `token-executor ${instance.executorToken}` }, signal) =>
      fetch(`${url}/.executors/${path}`, {
        method: "POST",
        headers: { "content-type": "application/json", ...headers },
        body: JSON.stringify(body),
        ...(signal ? { signal } : {}),
      }),
    async submit(spec = {}) {
      const response = await rest("POST", "/jobs", { steps: [{ key: "main", image: "alpine", run: "true" }], ...spec });
      const job = (await response.json()) as { id: number };
      if (response.status !== 201) throw new Error(`submit answered ${response.status}: ${JSON.stringify(job)}`);
      return job.id;
    },
    [Symbol.asyncDispose]: () => resources.disposeAsync(),
  };
}

/** A job in the response to a dequeue. */
export interface TakenJob {
  readonly id: number;
  readonly token: string;
  readonly queue?: string;
  readonly airlock: { readonly attempt: number; readonly leaseMs: number };
}

/** Headers of an executor on a job's routes. */
export function jobHeaders(job: Pick<TakenJob, "id" | "token">, executorName: string): Record<string, string> {
  return {
    authorization: `Bearer ${job.token}`,
    "x-sourcegraph-job-id": String(job.id),
    "x-sourcegraph-executor-name": executorName,
  };
}

export interface ReceivedEvent<Data> {
  readonly id: string | null;
  readonly data: Data;
}

/** Reads server-sent events until the stream ends or the caller stops. Then closes the connection. */
export async function* readEvents<Data>(response: Response): AsyncGenerator<ReceivedEvent<Data>> {
  if (!response.body) throw new Error("the answer has no body");
  let text = "";
  for await (const part of response.body.pipeThrough(new TextDecoderStream())) {
    text += part;
    for (let end = text.indexOf("\n\n"); end !== -1; end = text.indexOf("\n\n")) {
      const lines = text.slice(0, end).split("\n");
      text = text.slice(end + 2);
      const data = lines.find((line) => line.startsWith("data: "));
      const id = lines.find((line) => line.startsWith("id: "));
      if (data) yield { id: id?.slice(4) ?? null, data: JSON.parse(data.slice(6)) as Data };
    }
  }
}
