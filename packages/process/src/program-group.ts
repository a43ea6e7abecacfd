import { type ChildProcessByStdio, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import type { Readable, Writable } from "node:stream";
import { ProgramError } from "./program-error.ts";
import { systemEnvironment } from "./system-environment.ts";

export interface StartOptions {
  /** The whole environment: nothing is inherited. Default: {@link systemEnvironment}. */
  readonly env?: Readonly<Record<string, string>>;
  /** Default: the directory of this process. */
  readonly cwd?: string;
}

export interface ProgramEnd {
  /** `null`: a signal ended it. */
  readonly exitCode: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** From SIGTERM to SIGKILL: long enough for git to remove its lock files. */
const graceMs = 2000;

/** A program in a process group of its own, with what it started. */
export class ProgramGroup {
  /** Rejects when the program can't be started. */
  readonly started: Promise<void>;
  /** Resolves when the program has ended and its output was read or dropped. Rejects when it can't be started. */
  readonly ended: Promise<ProgramEnd>;
  readonly #child: ChildProcessByStdio<Writable, Readable, Readable>;
  #graceTimer: NodeJS.Timeout | undefined;
  #hasEnded = false;
  /** No process is left in the group. Its number may belong to another group from then on. */
  #isGroupGone = false;

  /** @throws {ProgramError} when the program can't be started; other such errors reject {@link started}. */
  constructor(command: readonly string[], { env = systemEnvironment, cwd }: StartOptions) {
    const [program = "", ...args] = command;
    try {
      this.#child = spawn(program, args, { env, ...(cwd ? { cwd } : {}), detached: true, stdio: "pipe" });
    } catch (cause) {
      // Node throws for some errors (a list of arguments that is too long) and emits others.
      throw notStarted(program, cwd, cause);
    }
    const child = this.#child;
    // A program may end without reading its input; its exit code tells what that means.
    child.stdin.on("error", () => {});
    const failure = new Promise<never>((_resolve, reject) => {
      child.once("error", (cause) => reject(notStarted(program, cwd, cause)));
    });
    this.started = Promise.race([new Promise<void>((resolve) => child.once("spawn", resolve)), failure]);
    this.ended = Promise.race([this.#end(), failure]);
    child.once("exit", () => this.#signal(0));
    // A caller waits for one of the two; the other one's rejection is the same error.
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

  /** Calls back when the program itself has ended; what it started may still run and hold its pipes. */
  onExit(callback: () => void): void {
    this.#child.once("exit", callback);
  }

  /**
   * Ends the program and what it started: SIGTERM to the group, so that it can clean up, and SIGKILL after a grace period.
   * Safe to call more than once, and after the end.
   */
  stop(): void {
    if (this.#hasEnded || this.#graceTimer) return;
    this.#signal("SIGTERM");
    this.#graceTimer = setTimeout(() => {
      this.#signal("SIGKILL");
      this.dropOutput();
    }, graceMs);
  }

  /** Reads no further. A process that left the group may hold the pipes open for as long as it runs. */
  dropOutput(): void {
    this.#child.stdout.destroy();
    this.#child.stderr.destroy();
  }

  #end(): Promise<ProgramEnd> {
    return new Promise((resolve) => {
      this.#child.once("close", (exitCode, signal) => {
        this.#hasEnded = true;
        clearTimeout(this.#graceTimer);
        // Some of the group may have closed their pipes and ignored SIGTERM.
        if (this.#graceTimer) this.#signal("SIGKILL");
        resolve({ exitCode, signal });
      });
    });
  }

  /** Signal 0 only looks whether the group is still there. */
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
    // The kernel's error is the same for both.
    if (cwd !== undefined && !existsSync(cwd)) {
      return new ProgramError(`cannot start ${program}: ${cwd} does not exist`, { fault: "not-started", cause });
    }
    const where = program.includes("/") ? "does not exist" : "is not installed, or not on PATH";
    return new ProgramError(`${program} ${where}`, { fault: "not-found", cause });
  }
  const code = (cause as NodeJS.ErrnoException).code ?? "";
  // Node's own words repeat the arguments, which may hold secrets.
  if (code.startsWith("ERR_INVALID_ARG")) {
    return new ProgramError(`cannot start ${program}: an argument or a variable has a NUL character`, {
      fault: "not-started",
    });
  }
  const words = startErrors[code] ?? (cause instanceof Error ? cause.message : String(cause));
  return new ProgramError(`cannot start ${program}: ${words}`, { fault: "not-started", cause });
}

const startErrors: Readonly<Record<string, string>> = {
  E2BIG: "its arguments and environment are too long for the kernel",
  EACCES: "it is not a program that this user may run",
  EAGAIN: "this user or this machine has no room for another process",
  ENOMEM: "this machine has no memory for another process",
};
