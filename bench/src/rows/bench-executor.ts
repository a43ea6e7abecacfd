import { spawn } from "node:child_process";
import { once } from "node:events";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { type BenchInstance, executorSecret } from "./bench-instance.ts";
import { rest } from "./jobs.ts";

const root = path.dirname(path.dirname(path.dirname(import.meta.dirname)));

export interface BenchExecutor extends AsyncDisposable {
  readonly pid: number;
  /** Kills the executor, as in a crash. Disposing it afterwards does nothing. */
  kill(): Promise<void>;
}

export interface BenchExecutorOptions {
  readonly dataDir: string;
  /** Tells it apart from others in the instance's list. */
  readonly label: string;
  /** Variables that replace those of this row's executors. */
  readonly settings?: Readonly<Record<string, string>>;
}

/**
 * Starts an executor with the oci runtime from the sources, in a separate process. It polls the queue `default`.
 */
export async function startExecutor(
  instance: BenchInstance,
  { dataDir, label, settings = {} }: BenchExecutorOptions,
): Promise<BenchExecutor> {
  const child = spawn(process.execPath, [path.join(root, "apps/executor/src/main.ts"), "run"], {
    stdio: ["ignore", "ignore", "inherit"],
    env: {
      PATH: process.env.PATH,
      HOME: dataDir,
      SRC_LOG_LEVEL: "error",
      EXECUTOR_RUNTIME: "oci",
      EXECUTOR_ALLOW_HOST_IMAGE: "true",
      // Without egress, an executor that is killed for good leaves nothing behind in this machine's network.
      EXECUTOR_DEFAULT_EGRESS: "none",
      EXECUTOR_DATA_DIR: dataDir,
      EXECUTOR_FRONTEND_URL: instance.url,
      EXECUTOR_FRONTEND_PASSWORD: executorSecret,
      EXECUTOR_QUEUE_NAME: "default",
      EXECUTOR_LABELS: `bench=${label}`,
      EXECUTOR_MAXIMUM_NUM_JOBS: "1",
      EXECUTOR_JOB_MEMORY: "512Mi",
      ...settings,
    },
  });
  const exited = once(child, "exit");
  const end = async (signal: NodeJS.Signals): Promise<void> => {
    child.kill(signal);
    await exited;
  };
  for (let tries = 0; !(await isKnown(instance.url, label)); tries += 1) {
    if (child.exitCode !== null || tries > 600) {
      await end("SIGKILL");
      throw new Error("the executor did not start");
    }
    await sleep(100);
  }
  return { pid: child.pid ?? 0, kill: () => end("SIGKILL"), [Symbol.asyncDispose]: () => end("SIGTERM") };
}

async function isKnown(url: string, label: string): Promise<boolean> {
  const { executors } = await rest<{ executors: { labels: Record<string, string> }[] }>(url, "GET", "/executors");
  return executors.some(({ labels }) => labels.bench === label);
}
