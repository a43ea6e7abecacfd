import { spawn } from "node:child_process";
import { once } from "node:events";
import { availableParallelism, homedir, totalmem } from "node:os";
import path from "node:path";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { LocalRunEvent, type LocalRunRequest } from "@airlock/api";
import { AirlockError, errorMessage, formatBytes, formatDuration } from "@airlock/job";
import { plainText } from "@airlock/terminal-text";
import type { z } from "zod";
import type { CommandContext } from "../context/command-context.ts";
import { exitCodes } from "../context/exit-codes.ts";
import { interruptSignal } from "../context/interrupt.ts";
import { describeLogLine, type LogLine } from "../dev/describe-log-line.ts";
import { lifelineArguments } from "../dev/lifeline.ts";
import { executorEnvironment } from "../dev/program-environments.ts";
import { JobPrinter } from "../follow/job-printer.ts";
import { LogScreen } from "../follow/log-screen.ts";
import { programArguments } from "../programs/program-arguments.ts";
import { LocalLog } from "./local-log.ts";

type End = Extract<LocalRunEvent, { kind: "end" }>;

/**
 * Runs a job with an executor program of its own, and prints its log live. Resolves with the command's exit code.
 * @throws {AirlockError} `program-failed` if the program ends without an end of the job.
 */
export async function runLocally(
  context: CommandContext,
  request: z.input<typeof LocalRunRequest>,
  notes: readonly string[],
): Promise<number> {
  using screen = new LogScreen(context);
  const startedAt = performance.now();
  await screen.expectOutput();
  for (const note of notes) await screen.line(screen.paint("dim", note));
  const end = await execute(context, screen, request);
  screen.clearStatus();
  const took = formatDuration(performance.now() - startedAt);
  const why = end.message === null ? "" : `: ${plainText(end.message)}`;
  const good = end.state === "completed";
  const text = good
    ? `✔ the job completed in ${took}`
    : `✖ the job ${end.state === "canceled" ? "was canceled" : `${end.state}${why}`}`;
  await screen.line(screen.paint(good ? "green" : "red", text));
  if (end.state === "canceled") return exitCodes.interrupted;
  return end.exitCode ?? (good ? exitCodes.ok : exitCodes.failure);
}

async function execute(context: CommandContext, screen: LogScreen, request: unknown): Promise<End> {
  const child = spawn(
    process.execPath,
    [...lifelineArguments, ...programArguments("executor"), "run-job"],
    // In its own process group, the program does not get Ctrl-C from the terminal.
    { env: localEnvironment(context.env), stdio: ["pipe", "pipe", "pipe", "ipc"], detached: true },
  );
  const { stdin, stdout, stderr } = child;
  if (!stdin || !stdout || !stderr) throw new Error("the executor was started without its streams");
  const exited = once(child, "close");
  exited.catch(() => {});
  using interrupt = interruptSignal(context.signals, () => child.kill("SIGKILL"));
  interrupt.signal.addEventListener("abort", () => {
    screen.status("canceling the job; press Ctrl-C again to stop without cleaning up");
    child.kill("SIGTERM");
  });
  const lines: LogLine[] = [];
  const said = readLines(stderr, async (line) => {
    const described = describeLogLine(line);
    lines.push(described);
    if (described.level === "warning" || described.level === "error") {
      await screen.line(screen.paint("yellow", `executor: ${described.text}`));
    }
  });
  // A program that has ended reads nothing. Its exit says why.
  stdin.on("error", () => {});
  stdin.end(JSON.stringify(request));
  const log = new LocalLog(new JobPrinter(screen));
  let end: End | undefined;
  screen.status("preparing the sandbox");
  await readLines(stdout, async (line) => {
    const event = LocalRunEvent.parse(JSON.parse(line));
    if (event.kind === "end") end = event;
    else if (event.kind === "artifact") {
      await screen.line(`  kept ${plainText(event.name)}, ${formatBytes(event.bytes)}`);
    } else await log.print(event);
  });
  await said;
  const [code] = await exited.catch((cause: unknown) => {
    throw new AirlockError(`cannot start the executor: ${errorMessage(cause)}`, { code: "program-failed", cause });
  });
  if (end) return end;
  const why = lines.filter(({ level }) => level === "text" || level === "error").slice(-10);
  throw new AirlockError(
    why.map(({ text }) => text).join("\n") || `the executor ended with ${String(code)} before the job did`,
    { code: "program-failed", hint: "`airlock executor validate` checks what the sandbox needs." },
  );
}

async function readLines(input: Readable, onLine: (line: string) => Promise<void>): Promise<void> {
  for await (const line of createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY })) await onLine(line);
}

function localEnvironment(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const isRoot = process.geteuid?.() === 0;
  const state = env.XDG_STATE_HOME || path.join(env.HOME || homedir(), ".local", "state");
  return executorEnvironment(env, {
    url: "http://local.invalid",
    password: "none",
    queue: "local",
    // One run at a time holds the directory, which keeps images and mirrors for the next one.
    dataDirectory: isRoot ? "/var/lib/airlock-run" : path.join(state, "airlock-run"),
    machine: { cores: availableParallelism(), memoryBytes: totalmem(), isRoot },
  });
}
