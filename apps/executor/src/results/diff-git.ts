import { AirlockError, saysNoSpace } from "@airlock/job";
import type { ProgramResult } from "@airlock/process";
import type { Git, GitOptions } from "../workspace/checkout/git.ts";

/** Git in the executor's own repository for a job's diff. What it works on was written by the job's steps. */
export class DiffGit {
  readonly #git: Git;
  readonly #at: readonly string[];
  readonly #signal: AbortSignal;

  constructor(git: Git, gitDir: string, workTree: string, signal: AbortSignal) {
    this.#git = git;
    this.#at = [
      `--git-dir=${gitDir}`,
      `--work-tree=${workTree}`,
      "-c",
      "core.bigFileThreshold=16m",
      // Warnings about line endings, one for each file.
      "-c",
      "core.safecrlf=false",
      // Findings about names are the job's: `isUnsafeName` leaves such files out, where git would fail as a whole.
      "-c",
      "core.protectHFS=false",
      "-c",
      "core.protectNTFS=false",
    ];
    this.#signal = signal;
  }

  /** An exit code other than 0 is not an error. */
  async run(args: readonly string[], options: Omit<GitOptions, "signal"> = {}): Promise<ProgramResult> {
    return await this.#git.run([...this.#at, ...args], { ...options, signal: this.#signal });
  }

  /** @throws {AirlockError} `diff-failed`: the job's fault. `runtime`: git was killed, or the executor's disk is full. */
  async check(args: readonly string[], options: Omit<GitOptions, "signal"> = {}): Promise<ProgramResult> {
    const result = await this.run(args, options);
    if (result.exitCode === 0) return result;
    throw diffFailure(args[0] ?? "", result);
  }
}

export function diffFailure(command: string, { exitCode, signal, stderr }: ProgramResult): AirlockError {
  const how = exitCode === null ? `was ended by ${signal}` : `exited with ${exitCode}`;
  const said = stderr.trim().split("\n").slice(-3).join("; ").slice(-1000) || "no message";
  const message = `git ${command} ${how} while it compared the workspace with its commit: ${said}`;
  if (exitCode === null || saysNoSpace(stderr))
    return new AirlockError(message, { code: "runtime", reason: "runtime" });
  return new AirlockError(message, { code: "diff-failed" });
}
