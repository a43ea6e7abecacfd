import { spawn } from "node:child_process";
import { once } from "node:events";
import { buffer } from "node:stream/consumers";

/**
 * Ignores the machine's and the user's configuration and fixes names and dates, so that commits are the same every
 * time.
 */
const env = {
  PATH: "/usr/local/bin:/usr/bin:/bin",
  HOME: "/nonexistent",
  LC_ALL: "C.UTF-8",
  GIT_CONFIG_GLOBAL: "/dev/null",
  GIT_CONFIG_NOSYSTEM: "1",
  GIT_TERMINAL_PROMPT: "0",
  GIT_AUTHOR_NAME: "Fixture",
  GIT_AUTHOR_EMAIL: "fixture@example.com",
  GIT_AUTHOR_DATE: "2026-01-01T00:00:00Z",
  GIT_COMMITTER_NAME: "Fixture",
  GIT_COMMITTER_EMAIL: "fixture@example.com",
  GIT_COMMITTER_DATE: "2026-01-01T00:00:00Z",
};

/**
 * Runs git in `directory` and returns its stdout without the last newline.
 * @throws {Error} with git's own message when it fails.
 */
export async function runGit(directory: string, args: readonly string[], input: Buffer | string = ""): Promise<string> {
  const child = spawn("git", args, { cwd: directory, env, stdio: ["pipe", "pipe", "pipe"] });
  // git may exit before it has read all input. Its exit code tells whether it failed.
  child.stdin.on("error", () => {});
  child.stdin.end(input);
  const [stdout, stderr] = await Promise.all([buffer(child.stdout), buffer(child.stderr), once(child, "close")]);
  if (child.exitCode !== 0) throw new Error(`git ${args.join(" ")} ended with ${child.exitCode}: ${stderr}`);
  return stdout.toString().replace(/\n$/, "");
}
