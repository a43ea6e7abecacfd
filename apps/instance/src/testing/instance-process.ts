import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";

export interface InstanceProcessOptions {
  readonly databaseUrl: string;
  readonly dataDirectory: string;
  readonly administratorToken: string;
  readonly executorToken: string;
  /** Further settings. */
  readonly env?: Readonly<Record<string, string>>;
}

/** An instance as a process of its own, to be killed or measured. Disposing kills it. */
export interface InstanceProcess extends AsyncDisposable {
  readonly url: string;
  readonly pid: number;
  /** With SIGKILL. */
  kill(): Promise<void>;
}

const main = fileURLToPath(new URL("../main.ts", import.meta.url));
const startTimeoutMs = 30_000;

export async function startInstanceProcess(options: InstanceProcessOptions): Promise<InstanceProcess> {
  const { dataDirectory } = options;
  const child = spawn(process.execPath, [main, "--listen", "127.0.0.1:0", "--data-dir", dataDirectory], {
    env: {
      PATH: "/usr/local/bin:/usr/bin:/bin",
      AIRLOCK_LOG_LEVEL: "silent",
      AIRLOCK_DATABASE_URL: options.databaseUrl,
      AIRLOCK_TOKEN: options.administratorToken,
      AIRLOCK_EXECUTOR_TOKEN: options.executorToken,
      ...options.env,
    },
    stdio: "ignore",
  });
  const kill = async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill("SIGKILL");
    await once(child, "exit");
  };
  const file = path.join(dataDirectory, "instance.json");
  const until = Date.now() + startTimeoutMs;
  while (!existsSync(file)) {
    if (Date.now() > until || child.exitCode !== null || child.pid === undefined) {
      await kill();
      throw new Error(`the instance did not start: exit code ${child.exitCode}`);
    }
    await sleep(50);
  }
  const { url } = JSON.parse(await readFile(file, "utf8")) as { url: string };
  return { url, pid: child.pid ?? 0, kill, [Symbol.asyncDispose]: kill };
}
