import { type ChildProcess, spawn } from "node:child_process";
import { type FileHandle, mkdir, open, rename, stat } from "node:fs/promises";
import path from "node:path";
import { AirlockError, errorMessage } from "@airlock/job";
import { type ProgramName, programArguments } from "../programs/program-arguments.ts";
import { describeLogLine, type LogLine } from "./describe-log-line.ts";
import { type LifelineMessage, lifelineArguments } from "./lifeline.ts";
import { LogTail } from "./log-tail.ts";

export interface ChildProgramOptions {
  readonly name: ProgramName;
  readonly args: readonly string[];
  readonly env: NodeJS.ProcessEnv;
  /** Where the program's log goes, as `NAME.log`. */
  readonly logDirectory: string;
  readonly onLine: (line: LogLine) => void;
  /** From the request to stop to SIGKILL. */
  readonly graceMs: number;
}

/** How a program ended. */
export interface ProgramExit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

const largestOldLog = 10 * 2 ** 20;

/** A program that runs for as long as we do: in a process group of its own, ended when it is disposed or we are gone. */
export class ChildProgram implements AsyncDisposable {
  readonly name: ProgramName;
  readonly logFile: string;
  /** Resolves when the process has ended and its last lines were read. */
  readonly exited: Promise<ProgramExit>;
  readonly #child: ChildProcess;
  readonly #tail: LogTail;
  readonly #graceMs: number;
  #running = true;

  private constructor(child: ChildProcess, tail: LogTail, logFile: string, options: ChildProgramOptions) {
    this.name = options.name;
    this.logFile = logFile;
    this.#child = child;
    this.#tail = tail;
    this.#graceMs = options.graceMs;
    this.exited = new Promise<ProgramExit>((resolve) => {
      child.once("exit", (code, signal) => resolve({ code, signal }));
    }).then(async (exit) => {
      this.#running = false;
      await tail.close();
      return exit;
    });
  }

  /** @throws {AirlockError} `program-failed` when the process cannot be started at all. */
  static async start(options: ChildProgramOptions): Promise<ChildProgram> {
    const logFile = path.join(options.logDirectory, `${options.name}.log`);
    await mkdir(options.logDirectory, { recursive: true, mode: 0o700 });
    await setAsideLargeLog(logFile);
    let log: FileHandle | undefined;
    let tail: LogTail | undefined;
    try {
      log = await open(logFile, "a", 0o600);
      tail = await LogTail.open(logFile, (line) => options.onLine(describeLogLine(line)));
      // A group of its own: Ctrl-C in the terminal reaches us alone, and we end the programs in order.
      const child = spawn(
        process.execPath,
        [...lifelineArguments, ...programArguments(options.name), ...options.args],
        {
          env: options.env,
          stdio: ["ignore", log.fd, log.fd, "ipc"],
          detached: true,
        },
      );
      await new Promise((resolve, reject) => {
        child.once("spawn", resolve);
        child.once("error", reject);
      });
      return new ChildProgram(child, tail, logFile, options);
    } catch (cause) {
      await tail?.close();
      throw new AirlockError(`cannot start the ${options.name}: ${errorMessage(cause)}`, {
        code: "program-failed",
        cause,
      });
    } finally {
      await log?.close();
    }
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** What the log ended with: what was said outside of the log's records where there is such, else warnings, else anything. */
  get lastLines(): readonly string[] {
    const lines = this.#tail.lastLines.map(describeLogLine).filter(({ text }) => text !== "" && !isStackFrame(text));
    const said = lines.filter(({ level }) => level === "text");
    const bad = lines.filter(({ level }) => level !== "info");
    return (said.length > 0 ? said : bad.length > 0 ? bad : lines).slice(-10).map(({ text }) => text);
  }

  /** Should we be killed, this one waits for the other's end before its own. */
  outlive(other: ChildProgram): void {
    this.#child.send({ outlive: other.pid } satisfies LifelineMessage, () => {
      // Not delivered: it has ended, and nothing is left to wait.
    });
  }

  /** Asks it to end, and sees to it after the grace period. Safe to call twice. */
  async stop(): Promise<void> {
    if (this.#running) this.#child.kill("SIGTERM");
    const timer = setTimeout(() => this.kill(), this.#graceMs);
    try {
      await this.exited;
    } finally {
      clearTimeout(timer);
    }
  }

  /** Ends it and what it started at once. */
  kill(): void {
    if (!this.#running) return;
    try {
      process.kill(-this.pid, "SIGKILL");
    } catch (error) {
      // It ended in between.
      if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }
}

async function setAsideLargeLog(file: string): Promise<void> {
  const size = await stat(file).then(
    (found) => found.size,
    () => 0,
  );
  if (size > largestOldLog) await rename(file, `${file}.old`);
}

/** The log file has it all; at the end of a program people look for the message. */
function isStackFrame(text: string): boolean {
  return /^\s+at |^node:internal|^Node\.js v\d/.test(text);
}
