import { AirlockError } from "@airlock/job";
import { ProgramError, runProgram } from "@airlock/process";

export interface GitOptions {
  /** Variables of the person's shell, with the place of git's configuration. */
  readonly env: NodeJS.ProcessEnv;
  /** Variables for this command only. */
  readonly set?: Readonly<Record<string, string>>;
}

const timeoutMs = 300_000;
/** The names of all changed files fit in. */
const maxOutputBytes = 64 * 2 ** 20;

/** The checkout's configuration must not start a program that git add does not need. */
const settings = ["-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", "-c", "core.untrackedCache=false"];

/** Variables with which git would work on another repository or index. */
const elsewhere =
  /^GIT_(?:DIR|WORK_TREE|INDEX_FILE|OBJECT_DIRECTORY|ALTERNATE_OBJECT_DIRECTORIES|COMMON_DIR|NAMESPACE)$/;

/**
 * Runs git in a person's checkout, with their configuration, such as their ignore rules. Returns its standard output,
 * as bytes since names of files may have any.
 * @throws {AirlockError} `git-missing`. @throws {ProgramError} if git fails.
 */
export async function checkoutGit(root: string, args: readonly string[], options: GitOptions): Promise<Buffer> {
  const inherited = Object.entries(options.env).filter(([name, value]) => value !== undefined && !elsewhere.test(name));
  const env = { ...Object.fromEntries(inherited), LC_ALL: "C", GIT_TERMINAL_PROMPT: "0", ...options.set };
  const parts: Buffer[] = [];
  let bytes = 0;
  try {
    const result = await runProgram(["git", ...settings, "--no-optional-locks", "-C", root, ...args], {
      env: env as Record<string, string>,
      timeoutMs,
      onStdout: (part) => {
        bytes += part.length;
        if (bytes > maxOutputBytes) throw new ProgramError("git printed too much", { fault: "too-much-output" });
        parts.push(part);
      },
    });
    if (result.exitCode !== 0) {
      const words = result.stderr.trim() || "git failed without a message";
      throw new ProgramError(words, { fault: "failed", exitCode: result.exitCode, stderr: result.stderr });
    }
  } catch (error) {
    if (!(error instanceof ProgramError) || error.fault !== "not-found") throw error;
    throw new AirlockError("git is not installed on this machine", {
      code: "git-missing",
      hint: "Install git, or submit a job on a repository that the instance knows, by its name.",
      cause: error,
    });
  }
  return Buffer.concat(parts);
}
