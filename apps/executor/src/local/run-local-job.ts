import { text } from "node:stream/consumers";
import type { LocalRunEvent } from "@airlock/api";
import { describeIssues, LocalRunRequest } from "@airlock/api";
import { AirlockError } from "@airlock/job";
import type { Runtime } from "@airlock/runtime";
import type { Logger } from "pino";
import type { Config } from "../config/options.ts";
import { openDataDirectory } from "../janitor/data-directory.ts";
import { Janitor } from "../janitor/janitor.ts";
import type { JobOutcome } from "../job/job-outcome.ts";
import { runJob } from "../job/run-job.ts";
import { JobStopped } from "../job/stop-reason.ts";
import { openWorkspaces } from "../workspace/open-workspaces.ts";
import { LocalConnection } from "./local-connection.ts";
import { readSpec } from "./read-spec.ts";

export interface LocalRunDependencies {
  readonly config: Config;
  readonly logger: Logger;
  readonly createRuntime: (stateDir: string, signal: AbortSignal) => Promise<Runtime>;
  readonly stdin: NodeJS.ReadStream;
  readonly stdout: NodeJS.WriteStream;
}

/** Variables of the configuration that are about an instance, which a local run doesn't have. */
export const localEnvironment = {
  EXECUTOR_FRONTEND_URL: "http://local.invalid",
  EXECUTOR_FRONTEND_PASSWORD: "none",
  EXECUTOR_QUEUE_NAME: "local",
  EXECUTOR_QUEUE_NAMES: "",
} as const;

/**
 * Runs the one job that standard input describes, without an instance, and reports it on standard output. A signal
 * cancels the job, whose sandbox is still removed.
 */
export async function runLocalJob({ config, logger, createRuntime, stdin, stdout }: LocalRunDependencies) {
  const stopping = new AbortController();
  const stop = () => stopping.abort(new JobStopped("canceled", "the job was interrupted"));
  for (const name of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(name, stop);
  const { signal } = stopping;
  const parsed = LocalRunRequest.safeParse(parseJson(await text(stdin)));
  if (!parsed.success) {
    throw new AirlockError(`standard input does not describe a job: ${describeIssues(parsed.error)[0]}`, {
      code: "payload-invalid",
      hint: "`airlock run` starts this command, and writes the job.",
    });
  }
  await using stack = new AsyncDisposableStack();
  const data = stack.use(await openDataDirectory(config.dataDir));
  const runtime = await createRuntime(data.runtimeDir, signal);
  stack.defer(() => runtime.close());
  const description = await runtime.describe({ signal });
  const { git, trash, repositories, jobDirectories } = await openWorkspaces(
    { config, data, description, logger, signal },
    stack,
  );
  const activeSandboxes = new Set<string>();
  const janitor = new Janitor({
    owner: data.owner,
    dataDir: config.dataDir,
    runtime,
    activeSandboxes,
    jobsDir: data.jobsDir,
    jobDirectories,
    trash,
    repositories,
    intervalMs: config.janitor.intervalMs,
    logger,
  });
  // An earlier run may have been killed.
  await janitor.round(signal);
  const connection = new LocalConnection(stdout, parsed.data);
  const outcome = await runJob(
    { input: readSpec(parsed.data), instance: connection },
    {
      runtime,
      enforcement: description,
      jobDirectories,
      git,
      owner: data.owner,
      activeSandboxes,
      countDenial: () => {},
      countCommand: () => {},
      countIncompleteLog: () => {},
      spoolDir: data.spoolDir,
      options: config.job,
      sharedSecret: "",
      logger,
    },
    signal,
  );
  await connection.write(endOf(outcome));
}

function endOf(outcome: JobOutcome): LocalRunEvent {
  switch (outcome.kind) {
    case "completed":
      return { kind: "end", state: "completed", exitCode: 0, message: null };
    case "failed": {
      const { reason, exitCode, message } = outcome;
      return { kind: "end", state: reason === null ? "canceled" : "failed", exitCode, message };
    }
    case "errored":
    case "abandoned":
      return { kind: "end", state: "errored", exitCode: null, message: outcome.message };
  }
}

function parseJson(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch {
    return undefined;
  }
}
