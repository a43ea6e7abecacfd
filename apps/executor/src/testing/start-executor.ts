import { join } from "node:path";
import type { JobPayloadWire } from "@airlock/api";
import type { Runtime } from "@airlock/runtime";
import { pino } from "pino";
import { parseConfig } from "../config/config.ts";
import { runExecutor } from "../executor.ts";
import type { StopExecutor } from "../worker/stop-signals.ts";
import { HostProcessRuntime } from "./host-process-runtime.ts";
import { testSecret } from "./scripted-instance.ts";

export interface StartedExecutor extends AsyncDisposable {
  readonly stop: StopExecutor;
  /** Resolves when the executor has ended by itself. */
  readonly ended: Promise<void>;
  /** The administrator's log, line by line. */
  readonly logLines: readonly string[];
}

export interface StartOptions {
  readonly url: string;
  readonly dataDir: string;
  readonly runtime?: Runtime | undefined;
  readonly env?: Readonly<Record<string, string>>;
}

/** Starts the whole executor in this process, on the test's own runtime. */
export async function startExecutor({ url, dataDir, runtime, env = {} }: StartOptions): Promise<StartedExecutor> {
  const config = parseConfig({
    EXECUTOR_FRONTEND_URL: url,
    EXECUTOR_FRONTEND_PASSWORD: testSecret,
    EXECUTOR_QUEUE_NAME: "default",
    EXECUTOR_QUEUE_POLL_INTERVAL: "50ms",
    EXECUTOR_DATA_DIR: dataDir,
    PATH: process.env.PATH,
    // The test's own runtime runs plain processes.
    EXECUTOR_UNENFORCED_LIMITS: "none",
    ...env,
  });
  const logLines: string[] = [];
  const logger = pino({ level: "debug" }, { write: (line: string) => void logLines.push(line) });
  const { promise: ready, resolve } = Promise.withResolvers<StopExecutor>();
  const ended = runExecutor({
    config,
    logger,
    createRuntime: async () =>
      runtime ?? new HostProcessRuntime({ dir: join(dataDir, "workspaces"), keep: config.workspace.keep }),
    onReadyToStop: resolve,
  });
  const stop = await Promise.race([ready, ended.then(() => Promise.reject(new Error("the executor ended at once")))]);
  return {
    stop,
    ended,
    logLines,
    [Symbol.asyncDispose]: async () => {
      stop.now("the test is over");
      await ended;
    },
  };
}

/** A job as a foreign instance sends it. */
export function foreignJob(
  id: number,
  commands: readonly string[],
  more: Partial<JobPayloadWire> = {},
): JobPayloadWire {
  return {
    version: 2,
    id,
    repositoryName: "",
    commit: "",
    files: {},
    dockerSteps: [{ key: "only", image: "test", commands: [...commands], dir: "", env: [] }],
    cliSteps: null,
    redactedValues: {},
    dockerAuthConfig: {},
    ...more,
  };
}

/** A job as an Airlock instance sends it. */
export function airlockJob(
  id: number,
  commands: readonly string[],
  more: Partial<JobPayloadWire> = {},
): JobPayloadWire {
  const job = foreignJob(id, commands, more);
  return {
    ...job,
    token: "0123456789abcdef0123456789abcdef01234567",
    airlock: {
      attempt: 1,
      leaseMs: 10_000,
      heartbeatIntervalMs: 200,
      timeoutMs: null,
      resources: {},
      egress: "none",
      capabilities: ["attempts", "log-batch", "log-notes", "events", "results", "usage"],
      shell: "strict",
      ...more.airlock,
    },
  };
}
