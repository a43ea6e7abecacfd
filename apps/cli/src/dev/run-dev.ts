import { randomUUID } from "node:crypto";
import { mkdir } from "node:fs/promises";
import path from "node:path";
import { onAbort } from "@airlock/async";
import type { CommandContext } from "../context/command-context.ts";
import { UsageError } from "../context/command-error.ts";
import { describeFileError } from "../context/describe-file-error.ts";
import { exitCodes } from "../context/exit-codes.ts";
import { InterruptedError, interruptSignal } from "../context/interrupt.ts";
import { jobExitCode } from "../follow/describe-job.ts";
import { cancelUnlessOver, watchJob } from "../follow/follow-job.ts";
import { JobPrinter } from "../follow/job-printer.ts";
import { LogScreen } from "../follow/log-screen.ts";
import type { InstanceClient } from "../instance/instance-client.ts";
import { resolveRepository } from "../instance/resolve-repository.ts";
import { type JobDraft, submitJob } from "../instance/submit-job.ts";
import { readJobFile } from "../job-file/read-job-file.ts";
import { DevSession } from "./dev-session.ts";
import { RecentTexts } from "./recent-texts.ts";
import { untilExecutorConnects } from "./until-executor-connects.ts";

export interface DevOptions {
  readonly listen?: string | undefined;
  readonly dataDir?: string | undefined;
  readonly repo?: string | undefined;
  /** Path of a job file to run once both programs are up. */
  readonly job?: string | undefined;
  readonly once?: boolean | undefined;
}

/** Runs `airlock dev` from its start until both programs have ended. Resolves with the exit code. */
export async function runDev(context: CommandContext, options: DevOptions): Promise<number> {
  const { env, cwd } = context;
  using screen = new LogScreen(context);
  const { paint } = screen;
  const draft = options.job === undefined ? undefined : await draftJob(context, options.job, options.repo);
  const dataDirectory = path.resolve(cwd, options.dataDir ?? (env.AIRLOCK_DATA_DIR || ".airlock"));
  await makeDataDirectory(dataDirectory);

  let session: DevSession | undefined;
  let stopping = false;
  const warnings = new RecentTexts(10_000);
  using interrupt = interruptSignal(context.signals, () => {
    session?.kill();
    context.exit(exitCodes.interrupted);
  });
  // Also aborted when a program has ended unexpectedly, because further waiting is pointless then.
  const ending = new AbortController();
  const signal = AbortSignal.any([interrupt.signal, ending.signal]);
  let code: number | undefined;
  try {
    session = await DevSession.start({
      env,
      listen: options.listen ?? (env.AIRLOCK_LISTEN || "127.0.0.1:7080"),
      dataDirectory,
      signal,
      progress: (text) => say(screen, text),
      onWarning: (program, line) => {
        // While both programs stop, each reports that it can't reach the other. Hide that.
        if (!stopping && warnings.isNews(line.text)) void screen.line(paint("yellow", `${program}: ${line.text}`));
      },
      onExecutorLeft: () => {
        if (stopping) return;
        const text = "the executor has exited; jobs wait until `airlock dev` is started again";
        void screen.line(paint("yellow", text));
      },
    });
    const work = async (running: DevSession): Promise<void> => {
      if (draft) code = await runJob(context, screen, running, draft, signal);
      else if (options.repo !== undefined)
        await screen.line(`repository ${await know(screen, running.client, options.repo, cwd, signal)}`);
      if (options.once) return;
      // If a job has run, the executor is known to be connected.
      if (!draft) await untilExecutorConnects(running.client, signal);
      await announce(screen, running, dataDirectory);
      await untilAborted(signal);
    };
    await Promise.race([work(session), session.failure]);
  } catch (error) {
    if (!(error instanceof InterruptedError)) throw error;
    // Ctrl-C is the normal way to end a session that stays up.
    if (!options.once && session) code = exitCodes.ok;
    else code = exitCodes.interrupted;
  } finally {
    screen.clearStatus();
    stopping = true;
    ending.abort(new Error("the session is ending"));
    if (session) {
      say(screen, "stopping the executor and the instance …");
      await session[Symbol.asyncDispose]();
      screen.clearStatus();
    }
  }
  if (!options.once && code !== exitCodes.interrupted) return exitCodes.ok;
  return code ?? exitCodes.ok;
}

async function runJob(
  context: CommandContext,
  screen: LogScreen,
  { client }: DevSession,
  draft: JobDraft,
  signal: AbortSignal,
): Promise<number> {
  const { repository } = draft.spec;
  if (repository !== undefined) await know(screen, client, repository, draft.directory, signal);
  // Otherwise the first message would be that no executor can run the job.
  await untilExecutorConnects(client, signal);
  screen.clearStatus();
  const job = await submitJob(client, draft, {
    idempotencyKey: randomUUID(),
    progress: (text) => say(screen, text),
    signal,
    env: context.env,
  });
  await screen.line(
    screen.paint("dim", `job ${job.id} submitted${job.commit ? ` on ${job.commit.slice(0, 12)}` : ""}`),
  );
  try {
    signal.throwIfAborted();
    return jobExitCode(await watchJob(context, client, job.id, { screen, printer: new JobPrinter(screen), signal }));
  } catch (error) {
    // Otherwise the job would stay in the database and run at the next start.
    if (error instanceof InterruptedError) await cancelUnlessOver(client, job.id, AbortSignal.timeout(2000));
    throw error;
  }
}

async function draftJob(context: CommandContext, file: string, repo: string | undefined): Promise<JobDraft> {
  const { spec, directory, report } = await readJobFile(file, context);
  if (repo === undefined) return { spec, directory, report };
  return { spec: { ...spec, repository: repo }, directory: context.cwd, report };
}

async function know(
  screen: LogScreen,
  client: InstanceClient,
  repository: string,
  directory: string,
  signal: AbortSignal,
): Promise<string> {
  return resolveRepository(client, repository, { directory, signal, progress: (text) => say(screen, text) });
}

async function announce(screen: LogScreen, session: DevSession, dataDirectory: string): Promise<void> {
  const { paint } = screen;
  screen.clearStatus();
  await screen.line("");
  await screen.line(`${paint("dim", "web UI ")}  ${paint("bold", session.loginUrl)}`);
  await screen.line(`${paint("dim", "data   ")}  ${dataDirectory}`);
  await screen.line(paint("dim", "Ctrl-C stops the instance and its executor."));
}

/** Shows the current activity in the status line of a terminal, or else as a line. */
function say(screen: LogScreen, text: string): void {
  if (screen.isLive) screen.status(text);
  else void screen.line(text);
}

async function makeDataDirectory(directory: string): Promise<void> {
  try {
    await mkdir(directory, { recursive: true, mode: 0o700 });
  } catch (cause) {
    throw new UsageError(
      `cannot create the data directory ${directory}: ${describeFileError(cause)}`,
      "Choose another directory with --data-dir or AIRLOCK_DATA_DIR.",
      { code: "data-directory-unusable", cause },
    );
  }
}

function untilAborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    onAbort(signal, () => reject(signal.reason));
  });
}
