import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { temporaryDirectory } from "@airlock/test-kit";

const root = path.dirname(path.dirname(path.dirname(import.meta.dirname)));
export const administratorToken = "bench-administrator-token";
export const executorSecret = "bench-executor-secret-token";

export interface BenchInstance extends AsyncDisposable {
  readonly url: string;
  readonly pid: number;
}

/** Starts an instance from the sources, in a separate process. */
export async function startInstance(
  databaseUrl: string,
  nodeFlags: readonly string[] = [],
  settings: Readonly<Record<string, string>> = {},
): Promise<BenchInstance> {
  await using cleanup = new AsyncDisposableStack();
  const directory = cleanup.use(await temporaryDirectory("airlock-bench-"));
  const child = spawn(process.execPath, [...nodeFlags, path.join(root, "apps/instance/src/main.ts")], {
    stdio: ["ignore", "ignore", "inherit"],
    env: {
      PATH: process.env.PATH,
      AIRLOCK_LISTEN: "127.0.0.1:0",
      AIRLOCK_DATA_DIR: directory.path,
      AIRLOCK_DATABASE_URL: databaseUrl,
      AIRLOCK_TOKEN: administratorToken,
      AIRLOCK_EXECUTOR_TOKEN: executorSecret,
      AIRLOCK_LOG_LEVEL: "warn",
      ...settings,
    },
  });
  const exited = once(child, "exit");
  cleanup.defer(async () => {
    child.kill("SIGTERM");
    await exited;
  });
  const url = await readUrl(path.join(directory.path, "instance.json"), child);
  const owned = cleanup.move();
  return { url, pid: child.pid ?? 0, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

async function readUrl(file: string, child: { readonly exitCode: number | null }): Promise<string> {
  for (let tries = 0; tries < 600 && child.exitCode === null; tries += 1) {
    const text = await readFile(file, "utf8").catch(() => null);
    if (text) return (JSON.parse(text) as { url: string }).url;
    await sleep(100);
  }
  throw new Error("the instance did not start");
}
