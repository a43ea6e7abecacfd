import { onAbort, startTimer } from "@airlock/async";
import { formatBytes, formatDuration } from "@airlock/job";
import { OutputTail, WholeOutput } from "./bounded-output.ts";
import { ProgramError } from "./program-error.ts";
import { type ProgramEnd, ProgramGroup, type StartOptions } from "./program-group.ts";

export interface RunOptions extends StartOptions {
  /** Aborting ends the program and its descendants. */
  readonly signal?: AbortSignal;
  /** The program is ended after this time. Default: no limit. */
  readonly timeoutMs?: number;
  /** Default: empty. */
  readonly stdin?: string | Uint8Array;
  /**
   * Receives the standard output as it arrives; the result's `stdout` is empty then. If it throws, the program is
   * ended.
   */
  readonly onStdout?: (bytes: Buffer) => void;
  /**
   * Receives the standard error as it arrives; the result also has the last part of it. If it throws, the program is
   * ended.
   */
  readonly onStderr?: (bytes: Buffer) => void;
  /** The program is ended if it prints more. Default: 1 MiB. Has no effect with `onStdout`. */
  readonly maxStdoutBytes?: number;
}

export interface ProgramResult extends ProgramEnd {
  /** Empty with `onStdout`. */
  readonly stdout: string;
  /** The last 64 KiB. */
  readonly stderr: string;
}

const defaultMaxStdoutBytes = 2 ** 20;
const maxStderrBytes = 64 * 2 ** 10;
/** How long to read output after the program itself has ended, in case it left a daemon that holds the pipes. */
const drainMs = 2000;

/**
 * Runs a host program to its end, from an argument vector, never through a shell. A non-zero exit code is a result, as
 * is an end by a signal that was not sent from here.
 * @throws the signal's reason if aborted; {@link ProgramError} `not-found`, `not-started`, `timed-out` or
 * `too-much-output`. No process of the program's group is left then.
 */
export async function runProgram(command: readonly string[], options: RunOptions = {}): Promise<ProgramResult> {
  const { signal, timeoutMs, stdin, maxStdoutBytes = defaultMaxStdoutBytes } = options;
  signal?.throwIfAborted();
  const program = new ProgramGroup(command, options);
  const stdout = new WholeOutput(maxStdoutBytes);
  const stderr = new OutputTail(maxStderrBytes);
  /** Why we ended the program; the first reason wins. */
  let ended: { readonly reason: unknown } | undefined;
  const end = (reason: unknown) => {
    ended ??= { reason };
    program.stop();
  };
  const guarded = (take: (bytes: Buffer) => void) => (bytes: Buffer) => {
    try {
      if (!ended) take(bytes);
    } catch (error) {
      end(error);
    }
  };
  const name = command[0] ?? "";
  const { onStdout = keepStdout, onStderr } = options;
  program.stdout.on("data", guarded(onStdout));
  program.stderr.on("data", (bytes: Buffer) => stderr.push(bytes));
  if (onStderr) program.stderr.on("data", guarded(onStderr));
  program.stdin.end(stdin);

  using _abort = signal && onAbort(signal, () => end(signal.reason));
  using _timeout = timeoutMs === undefined ? undefined : startTimer(timeoutMs, () => end(timedOut(name, timeoutMs)));
  let drain: NodeJS.Timeout | undefined;
  program.onExit(() => {
    drain = setTimeout(() => program.dropOutput(), drainMs);
  });
  try {
    const { exitCode, signal: endedBy } = await program.ended;
    if (ended) throw ended.reason;
    return { exitCode, signal: endedBy, stdout: stdout.text(), stderr: stderr.text() };
  } finally {
    clearTimeout(drain);
  }

  function keepStdout(bytes: Buffer): void {
    stdout.push(bytes);
    if (stdout.isOverfull) end(tooMuchOutput(name, maxStdoutBytes));
  }
}

/**
 * Runs a program like {@link runProgram} and returns its standard output.
 * @throws {ProgramError} also `failed`, with the program's standard error, if its exit code is not 0.
 */
export async function outputOf(command: readonly string[], options: RunOptions = {}): Promise<string> {
  const result = await runProgram(command, options);
  if (result.exitCode !== 0) throw failed(command[0] ?? "", result);
  return result.stdout;
}

function failed(name: string, { exitCode, signal, stderr }: ProgramResult): ProgramError {
  const how = exitCode === null ? `was ended by ${signal}` : `failed with exit code ${exitCode}`;
  const words = stderr.trim().slice(-2000);
  return new ProgramError(`${name} ${how}${words ? `: ${words}` : ""}`, { fault: "failed", exitCode, signal, stderr });
}

function timedOut(name: string, timeoutMs: number): ProgramError {
  return new ProgramError(`${name} did not end within ${formatDuration(timeoutMs)}`, { fault: "timed-out" });
}

function tooMuchOutput(name: string, maxBytes: number): ProgramError {
  return new ProgramError(`${name} printed more than ${formatBytes(maxBytes)}`, { fault: "too-much-output" });
}
