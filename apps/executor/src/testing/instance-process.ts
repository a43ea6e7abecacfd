import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { testSecret } from "./scripted-instance.ts";

const token = "administrator-token-of-tests";
const program = join(import.meta.dirname, "../../../instance/src/main.ts");

/** The real instance as a process of its own that a test may kill and start again at the same address. */
export class InstanceProcess implements AsyncDisposable {
  readonly url: string;
  readonly #env: Readonly<Record<string, string>>;
  #child: ChildProcess | undefined;

  private constructor(port: number, env: Readonly<Record<string, string>>) {
    this.url = `http://127.0.0.1:${port}`;
    this.#env = { ...env, AIRLOCK_LISTEN: `127.0.0.1:${port}` };
  }

  static async start(databaseUrl: string, dataDir: string): Promise<InstanceProcess> {
    const instance = new InstanceProcess(await freePort(), {
      PATH: process.env.PATH ?? "",
      AIRLOCK_DATA_DIR: dataDir,
      AIRLOCK_DATABASE_URL: databaseUrl,
      AIRLOCK_TOKEN: token,
      AIRLOCK_EXECUTOR_TOKEN: testSecret,
      AIRLOCK_LOG_LEVEL: "fatal",
    });
    await instance.start();
    return instance;
  }

  async start(): Promise<void> {
    const child = spawn(process.execPath, [program], { stdio: ["ignore", "ignore", "inherit"], env: this.#env });
    this.#child = child;
    for (let tries = 0; tries < 300 && child.exitCode === null; tries += 1) {
      const answer = await fetch(`${this.url}/api/v1/queues`, { headers: { authorization: `Bearer ${token}` } }).catch(
        () => undefined,
      );
      if (answer?.ok) return;
      await sleep(50);
    }
    throw new Error("the instance did not start");
  }

  /** As a power cut would end it. */
  async kill(): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    child.kill("SIGKILL");
    await once(child, "exit");
  }

  async rest(method: string, path: string, body?: unknown): Promise<unknown> {
    const response = await fetch(`${this.url}/api/v1${path}`, {
      method,
      headers: {
        authorization: `Bearer ${token}`,
        ...(body === undefined ? {} : { "content-type": "application/json" }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    if (!response.ok) throw new Error(`${method} ${path} was answered ${response.status}: ${await response.text()}`);
    const isJson = response.headers.get("content-type")?.startsWith("application/json");
    return isJson ? await response.json() : await response.text();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === "string") throw new Error("no port is free");
  return address.port;
}
