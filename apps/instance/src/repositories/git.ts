import {
  type GitLimits,
  type GitSettings,
  gitEnvironment,
  gitNotFoundExitCode,
  limitedGit,
  minimumGitVersion,
} from "@airlock/git";
import { AirlockError } from "@airlock/job";
import { ProgramError, type RunningProgram, runProgram, startProgram } from "@airlock/process";
import type { Proxies } from "@airlock/proxy";

export interface GitEnvironment {
  /** `PATH` with git and ssh. */
  readonly path: string;
  /** `HOME`: an empty directory. */
  readonly home: string;
  /** The ways to code hosts. */
  readonly proxies: Proxies;
}

export interface GitCommand {
  readonly gitDirectory: string;
  readonly args: readonly string[];
  /** Configuration that must not be in the arguments, which every process on the machine can read. */
  readonly config?: GitSettings;
  readonly env?: Readonly<Record<string, string>>;
  /** Enforced by the kernel, for git and its child processes. */
  readonly limits?: GitLimits;
}

/** git exited with an error. `stderr` is the end of its error output. */
export class GitError extends Error {
  override readonly name = "GitError";
  readonly exitCode: number | null;
  readonly stderr: string;

  constructor(command: string, exitCode: number | null, stderr: string) {
    const lastLine = stderr
      .trim()
      .split("\n")
      .at(-1)
      ?.replace(/^(?:fatal|error): /, "");
    super(lastLine || `git ${command} exited with ${exitCode ?? "a signal"}`);
    this.exitCode = exitCode;
    this.stderr = stderr;
  }
}

/**
 * Starts git. The caller reads and writes its streams.
 * @throws {AirlockError} `git-missing`.
 */
export async function startGit(environment: GitEnvironment, command: GitCommand): Promise<RunningProgram> {
  try {
    return await startProgram(commandLine(command), placeOf(environment, command));
  } catch (error) {
    throw isMissing(error) ? gitMissing(error) : error;
  }
}

function placeOf(environment: GitEnvironment, { config, env }: GitCommand) {
  return {
    cwd: environment.home,
    env: {
      ...gitEnvironment({ path: environment.path, home: environment.home, ...(config ? { settings: config } : {}) }),
      GIT_SSH_COMMAND: "ssh -o BatchMode=yes -o ConnectTimeout=15",
      ...env,
    },
  };
}

function commandLine({ gitDirectory, args, limits }: GitCommand): readonly string[] {
  const words = [`--git-dir=${gitDirectory}`, ...args];
  return limits ? limitedGit(words, limits) : ["git", ...words];
}

const maxOutputBytes = 16 * 2 ** 20;

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
  const subcommand = command.args[0] ?? "";
  try {
    const { exitCode, stdout, stderr } = await runProgram(commandLine(command), {
      ...placeOf(environment, command),
      ...options,
      maxStdoutBytes: maxOutputBytes,
    });
    if (exitCode === 0) return stdout;
    if (command.limits && exitCode === gitNotFoundExitCode) throw gitMissing(new Error(stderr.trim()));
    throw new GitError(subcommand, exitCode, stderr);
  } catch (error) {
    if (!(error instanceof ProgramError)) throw error;
    if (isMissing(error)) throw gitMissing(error);
    if (error.fault === "timed-out") {
      throw new AirlockError(`git took longer than ${options.timeoutMs / 1000} s`, { code: "git-timeout" });
    }
    throw new GitError(subcommand, error.exitCode, error.message);
  }
}

function isMissing(error: unknown): boolean {
  return error instanceof ProgramError && error.fault === "not-found";
}

function gitMissing(cause: unknown): AirlockError {
  return new AirlockError("git is not installed on the instance's machine", {
    code: "git-missing",
    hint: `Install git ${minimumGitVersion} or newer.`,
    cause,
  });
}
