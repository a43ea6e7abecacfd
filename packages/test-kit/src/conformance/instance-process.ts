import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { compileCacheEnvironment } from "../host/compile-cache.ts";

export interface InstanceProcessOptions {
  readonly dataDirectory: string;
  /** Default: the instance starts an embedded PostgreSQL. */
  readonly databaseUrl?: string;
  /** `HOST:PORT`. Default: a free port of 127.0.0.1. */
  readonly listen?: string;
  /** Further environment variables, such as `AIRLOCK_WEB_DIR`. */
  readonly env?: Readonly<Record<string, string>>;
}

const program = fileURLToPath(new URL("../../../../apps/instance/src/main.ts", import.meta.url));
const startTimeoutMs = 60_000;
const administratorToken = "administrator-token-of-tests";
const executorToken = "shared-secret-of-the-tests";

/** A real instance in its own process. Tests can kill it, restart it at the same address, or measure it. */
export class InstanceProcess implements AsyncDisposable {
  readonly url: string;
  readonly administratorToken: string;
  readonly executorToken: string;
  readonly #options: InstanceProcessOptions;
  #child: ChildProcess;

  private constructor(options: InstanceProcessOptions, started: StartedInstance) {
    const { env } = options;
    this.url = started.url;
    this.administratorToken = env?.AIRLOCK_TOKEN ?? administratorToken;
    this.executorToken = env?.AIRLOCK_EXECUTOR_TOKEN ?? executorToken;
    this.#options = options;
    this.#child = started.child;
  }

  static async start(options: InstanceProcessOptions): Promise<InstanceProcess> {
    return new InstanceProcess(options, await startInstance(options, options.listen ?? "127.0.0.1:0"));
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** Kills it, as a power failure would. */
  async kill(): Promise<void> {
    await end(this.#child, "SIGKILL");
  }

  /** Starts it again at the same address after `kill`. */
  async restart(): Promise<void> {
    this.#child = (await startInstance(this.#options, new URL(this.url).host)).child;
  }

  /** Calls the REST API as the administrator. */
  async rest(method: string, route: string, body?: unknown): Promise<unknown> {
    const response = await fetch(`${this.url}/api/v1${route}`, {
      method,
      headers: {
        authorization: `Bearer ${this.administratorToken}`,
        ...(body === undefined ? {} : { "content-type": "application/json" }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    if (!response.ok) throw new Error(`${method} ${route} was answered ${response.status}: ${await response.text()}`);
    const isJson = response.headers.get("content-type")?.startsWith("application/json");
    return isJson ? await response.json() : await response.text();
  }

  /** Stops gracefully if the database is embedded, so that none of its processes is left. Otherwise kills it. */
  async [Symbol.asyncDispose](): Promise<void> {
    await end(this.#child, this.#options.databaseUrl === undefined ? "SIGTERM" : "SIGKILL");
  }
}

interface StartedInstance {
  readonly url: string;
  readonly child: ChildProcess;
}

async function startInstance(options: InstanceProcessOptions, listen: string): Promise<StartedInstance> {
  const { dataDirectory, databaseUrl, env } = options;
  const child = spawn(process.execPath, [program, "--listen", listen, "--data-dir", dataDirectory], {
    env: {
      PATH: process.env.PATH,
      ...compileCacheEnvironment(),
      AIRLOCK_TOKEN: administratorToken,
      AIRLOCK_EXECUTOR_TOKEN: executorToken,
      AIRLOCK_LOG_LEVEL: "fatal",
      ...(databaseUrl === undefined ? {} : { AIRLOCK_DATABASE_URL: databaseUrl }),
      ...env,
    },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (text: string) => {
      output = (output + text).slice(-10_000);
    });
  }
  const until = Date.now() + startTimeoutMs;
  for (;;) {
    const published = await readPublished(path.join(dataDirectory, "instance.json"));
    // A killed instance leaves its file behind.
    if (published !== undefined && published.pid === child.pid) return { url: published.url, child };
    if (Date.now() > until || child.exitCode !== null || child.signalCode !== null || child.pid === undefined) {
      await end(child, "SIGKILL");
      throw new Error(`the instance did not start (exit code ${child.exitCode}): ${output}`);
    }
    await sleep(25);
  }
}

async function readPublished(file: string): Promise<{ readonly url: string; readonly pid: number } | undefined> {
  const text = await readFile(file, "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return undefined;
    throw error;
  });
  return text === undefined ? undefined : (JSON.parse(text) as { url: string; pid: number });
}

async function end(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, "exit");
  child.kill(signal);
  await exited;
}
