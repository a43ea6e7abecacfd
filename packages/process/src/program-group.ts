import { type ChildProcessByStdio, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import type { Readable, Writable } from "node:stream";
import { ProgramError } from "./program-error.ts";
import { systemEnvironment } from "./system-environment.ts";

export interface StartOptions {
  /** The complete environment: nothing is inherited. Default: {@link systemEnvironment}. */
  readonly env?: Readonly<Record<string, string>>;
  /** Default: the working directory of this process. */
  readonly cwd?: string;
}

export interface ProgramEnd {
  /** `null`: a signal ended it. */
  readonly exitCode: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** Time from SIGTERM to SIGKILL: long enough for git to remove its lock files. */
const graceMs = 2000;

/** A program and its descendants in their own process group. */
export class ProgramGroup {
  /** Rejects if the program can't be started. */
  readonly started: Promise<void>;
  /**
   * Resolves when the program has ended and its output was read or dropped. Rejects if the program can't be started.
   */
  readonly ended: Promise<ProgramEnd>;
  readonly #child: ChildProcessByStdio<Writable, Readable, Readable>;
  #graceTimer: NodeJS.Timeout | undefined;
  #hasEnded = false;
  /** The group has no processes left. From then on the kernel may reuse its number for another group. */
  #isGroupGone = false;

  /** @throws {ProgramError} for some errors at the start of the program; all others reject {@link started}. */
  constructor(command: readonly string[], { env = systemEnvironment, cwd }: StartOptions) {
    const [program = "", ...args] = command;
    try {
      this.#child = spawn(program, args, { env, ...(cwd ? { cwd } : {}), detached: true, stdio: "pipe" });
    } catch (cause) {
      // Node throws some errors (such as an argument list that is too long) and emits others.
      throw notStarted(program, cwd, cause);
    }
    const child = this.#child;
    // A program may end without reading its input. Its exit code shows whether that is a failure.
    child.stdin.on("error", () => {});
    const failure = new Promise<never>((_resolve, reject) => {
      child.once("error", (cause) => reject(notStarted(program, cwd, cause)));
    });
    this.started = Promise.race([new Promise<void>((resolve) => child.once("spawn", resolve)), failure]);
    this.ended = Promise.race([this.#end(), failure]);
    child.once("exit", () => this.#signal(0));
    // Callers wait for only one of these. The other one rejects with the same error.
    this.started.catch(() => {});
    this.ended.catch(() => {});
  }

  get stdin(): Writable {
    return this.#child.stdin;
  }

  get stdout(): Readable {
    return this.#child.stdout;
  }

  get stderr(): Readable {
    return this.#child.stderr;
  }

  /** Calls back when the program itself has ended. Its descendants may still run and hold its pipes. */
  onExit(callback: () => void): void {
    this.#child.once("exit", callback);
  }

  /**
   * Ends the program and its descendants: SIGTERM to the group, so that it can clean up, and SIGKILL after a grace
   * period. Safe to call repeatedly, and after the end.
   */
  stop(): void {
    if (this.#hasEnded || this.#graceTimer) return;
    this.#signal("SIGTERM");
    this.#graceTimer = setTimeout(() => {
      this.#signal("SIGKILL");
      this.dropOutput();
    }, graceMs);
  }

  /** Stops reading output. A process that left the group may hold the pipes open for as long as it runs. */
  dropOutput(): void {
    this.#child.stdout.destroy();
    this.#child.stderr.destroy();
  }

  #end(): Promise<ProgramEnd> {
    return new Promise((resolve) => {
      this.#child.once("close", (exitCode, signal) => {
        this.#hasEnded = true;
        clearTimeout(this.#graceTimer);
        // Some processes of the group may have closed their pipes and ignored SIGTERM.
        if (this.#graceTimer) this.#signal("SIGKILL");
        resolve({ exitCode, signal });
      });
    });
  }

  /** Signal 0 only checks whether the group still exists. */
  #signal(signal: NodeJS.Signals | 0): void {
    const { pid } = this.#child;
    if (pid === undefined || this.#isGroupGone) return;
    try {
      process.kill(-pid, signal);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
      this.#isGroupGone = true;
    }
  }
}

function notStarted(program: string, cwd: string | undefined, cause: unknown): ProgramError {
  if ((cause as NodeJS.ErrnoException).code === "ENOENT") {
    // The kernel reports ENOENT for both a missing program and a missing directory.
    if (cwd !== undefined && !existsSync(cwd)) {
      return new ProgramError(`cannot start ${program}: ${cwd} does not exist`, { fault: "not-started", cause });
    }
    const where = program.includes("/") ? "does not exist" : "is not installed, or not on PATH";
    return new ProgramError(`${program} ${where}`, { fault: "not-found", cause });
  }
  const code = (cause as NodeJS.ErrnoException).code ?? "";
  // Node's message repeats the arguments, which may contain secrets.
  if (code.startsWith("ERR_INVALID_ARG")) {
    return new ProgramError(`cannot start ${program}: an argument or a variable has a NUL character`, {
      fault: "not-started",
    });
  }
  const words = startErrors[code] ?? (cause instanceof Error ? cause.message : String(cause));
  return new ProgramError(`cannot start ${program}: ${words}`, { fault: "not-started", cause });
}

const startErrors: Readonly<Record<string, string>> = {
  E2BIG: "its arguments and environment exceed the kernel's limit",
  EACCES: "it is not a program that this user may run",
  EAGAIN: "this user or this machine has reached its limit of processes",
  ENOMEM: "this machine has too little memory for another process",
};
