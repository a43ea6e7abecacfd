import { type ChildProcessByStdio, spawn } from "node:child_process";
import type { Readable, Writable } from "node:stream";
import { type GitSettings, gitEnvironment, minimumGitVersion } from "@airlock/git";
import { AirlockError } from "@airlock/job";

export interface GitEnvironment {
  /** Where git and ssh are found. */
  readonly path: string;
  /** An empty directory. */
  readonly home: string;
}

export interface GitCommand {
  readonly gitDirectory: string;
  readonly args: readonly string[];
  /** Configuration that must not stand on the command line, where every process of the machine reads it. */
  readonly config?: GitSettings;
  readonly env?: Readonly<Record<string, string>>;
  /** Enforced by the kernel, for git and what it starts. */
  readonly limits?: GitLimits;
}

export interface GitLimits {
  /** Of one file that it writes; git says "File too large" past it. */
  readonly fileBytes?: number;
  /** Of memory, per process. */
  readonly memoryBytes: number;
}

/** git ended with an error. `stderr` is the end of what it said. */
export class GitError extends Error {
  override readonly name = "GitError";
  readonly exitCode: number | null;
  readonly stderr: string;

  constructor(command: string, exitCode: number | null, stderr: string) {
    super(stderr.trim().split("\n").at(-1) || `git ${command} ended with ${exitCode ?? "a signal"}`);
    this.exitCode = exitCode;
    this.stderr = stderr;
  }
}

export type GitProcess = ChildProcessByStdio<Writable, Readable, Readable>;

/** Starts git in a process group of its own, with a minimal environment. */
export function spawnGit(environment: GitEnvironment, command: GitCommand): GitProcess {
  const [program, args] = withLimits([`--git-dir=${command.gitDirectory}`, ...command.args], command.limits);
  const child = spawn(program, args, {
    cwd: environment.home,
    stdio: ["pipe", "pipe", "pipe"],
    detached: true,
    env: {
      ...gitEnvironment({ ...environment, ...(command.config ? { settings: command.config } : {}) }),
      GIT_SSH_COMMAND: "ssh -o BatchMode=yes -o ConnectTimeout=15",
      ...command.env,
    },
  });
  // git may end before it has read its input; its exit code tells what that means.
  child.stdin.on("error", () => {});
  return child;
}

/** Limits that are tighter already stay. A write past the limit fails with an error instead of killing git unprepared. */
const limitScript = `trap '' XFSZ; ulimit -f "$1" 2>/dev/null; ulimit -d "$2" 2>/dev/null; shift 2; exec git "$@"`;

function withLimits(args: readonly string[], limits: GitLimits | undefined): [program: string, args: string[]] {
  if (!limits) return ["git", [...args]];
  const blocks = limits.fileBytes === undefined ? "unlimited" : String(Math.max(1, Math.ceil(limits.fileBytes / 512)));
  return ["sh", ["-c", limitScript, "git", blocks, String(Math.ceil(limits.memoryBytes / 1024)), ...args]];
}

/** Ends git and its helpers: politely, so that it removes its lock files, then by force. */
export function stopGit(child: GitProcess): void {
  const { pid } = child;
  if (pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  signalGroup(pid, "SIGTERM");
  const force = setTimeout(() => signalGroup(pid, "SIGKILL"), 3000);
  force.unref();
  child.once("exit", () => clearTimeout(force));
}

function signalGroup(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}

const maxOutputBytes = 16 * 1024 * 1024;
const maxErrorBytes = 16 * 1024;

export interface RunGitOptions {
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
}

/**
 * Runs git to its end and returns its standard output.
 * @throws {GitError} when it fails; the signal's reason when aborted; {AirlockError} `git-missing`, `git-timeout`.
 */
export async function runGit(
  environment: GitEnvironment,
  command: GitCommand,
  options: RunGitOptions,
): Promise<string> {
  options.signal?.throwIfAborted();
  const timeout = AbortSignal.timeout(options.timeoutMs);
  const signal = options.signal ? AbortSignal.any([options.signal, timeout]) : timeout;
  const child = spawnGit(environment, command);
  const stop = () => stopGit(child);
  signal.addEventListener("abort", stop, { once: true });
  try {
    child.stdin.end();
    const stdout: Buffer[] = [];
    let stdoutBytes = 0;
    let stderr = "";
    child.stdout.on("data", (data: Buffer) => {
      stdoutBytes += data.length;
      if (stdoutBytes > maxOutputBytes) stop();
      else stdout.push(data);
    });
    child.stderr.on("data", (data: Buffer) => {
      stderr = (stderr + data.toString("utf8")).slice(-maxErrorBytes);
    });
    const exitCode = await new Promise<number | null>((resolve, reject) => {
      child.once("close", resolve);
      child.once("error", (cause) => reject(gitMissing(cause)));
    });
    options.signal?.throwIfAborted();
    if (timeout.aborted) {
      throw new AirlockError(`git took longer than ${options.timeoutMs / 1000} s`, { code: "git-timeout" });
    }
    if (stdoutBytes > maxOutputBytes) throw new GitError(command.args[0] ?? "", exitCode, "too much output");
    if (exitCode !== 0) throw new GitError(command.args[0] ?? "", exitCode, stderr);
    return Buffer.concat(stdout).toString("utf8");
  } finally {
    signal.removeEventListener("abort", stop);
  }
}

export function gitMissing(cause: unknown): AirlockError {
  return new AirlockError("git is not installed where the instance runs", {
    code: "git-missing",
    hint: `Install git ${minimumGitVersion} or newer.`,
    cause,
  });
}
