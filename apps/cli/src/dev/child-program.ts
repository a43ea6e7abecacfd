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
  /** Directory for the program's log, which is named `NAME.log`. */
  readonly logDirectory: string;
  readonly onLine: (line: LogLine) => void;
  /** Time from the request to stop until SIGKILL. */
  readonly graceMs: number;
}

/** How a program ended. */
export interface ProgramExit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

const largestOldLog = 10 * 2 ** 20;

/**
 * A program that runs as long as this process does, in its own process group. It ends when it is disposed or this
 * process ends.
 */
export class ChildProgram implements AsyncDisposable {
  readonly name: ProgramName;
  readonly logFile: string;
  /** Resolves when the process has ended and its last lines have been read. */
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

  /** @throws {AirlockError} `program-failed` if the process cannot be started. */
  static async start(options: ChildProgramOptions): Promise<ChildProgram> {
    const logFile = path.join(options.logDirectory, `${options.name}.log`);
    await mkdir(options.logDirectory, { recursive: true, mode: 0o700 });
    await setAsideLargeLog(logFile);
    let log: FileHandle | undefined;
    let tail: LogTail | undefined;
    try {
      log = await open(logFile, "a", 0o600);
      tail = await LogTail.open(logFile, (line) => options.onLine(describeLogLine(line)));
      // In its own process group, the program does not get Ctrl-C from the terminal. We stop the programs in order.
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

  /** At most 10 last lines without stack frames: those that are not log records, else warnings and errors, else any. */
  get lastLines(): readonly string[] {
    const lines = this.#tail.lastLines.map(describeLogLine).filter(({ text }) => text !== "" && !isStackFrame(text));
    const said = lines.filter(({ level }) => level === "text");
    const bad = lines.filter(({ level }) => level !== "info");
    return (said.length > 0 ? said : bad.length > 0 ? bad : lines).slice(-10).map(({ text }) => text);
  }

  /** If this process is killed, the program waits for the end of `other` before it ends itself. */
  outlive(other: ChildProgram): void {
    this.#child.send({ outlive: other.pid } satisfies LifelineMessage, () => {
      // The message could not be delivered because the program has ended. It need not wait any more.
    });
  }

  /** Asks the program to end, and kills it after the grace period. Safe to call twice. */
  async stop(): Promise<void> {
    if (this.#running) this.#child.kill("SIGTERM");
    const timer = setTimeout(() => this.kill(), this.#graceMs);
    try {
      await this.exited;
    } finally {
      clearTimeout(timer);
    }
  }

  /** Kills the program and everything in its process group immediately. */
  kill(): void {
    if (!this.#running) return;
    try {
      process.kill(-this.pid, "SIGKILL");
    } catch (error) {
      // The process group ended in the meantime.
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

/** Stack frames hide the message that people look for. The log file still has them. */
function isStackFrame(text: string): boolean {
  return /^\s+at |^node:internal|^Node\.js v\d/.test(text);
}
