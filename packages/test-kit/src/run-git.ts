import { spawn } from "node:child_process";
import { once } from "node:events";
import { buffer } from "node:stream/consumers";

/** Nothing of the machine's or the user's configuration, and fixed names and dates: the same commits every time. */
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
 * Runs git in `directory` and resolves to its standard output without the last newline.
 * @throws {Error} with git's own words when it fails.
 */
export async function runGit(directory: string, args: readonly string[], input: Buffer | string = ""): Promise<string> {
  const child = spawn("git", args, { cwd: directory, env, stdio: ["pipe", "pipe", "pipe"] });
  // git may end before it has read everything; its exit code tells.
  child.stdin.on("error", () => {});
  child.stdin.end(input);
  const [stdout, stderr] = await Promise.all([buffer(child.stdout), buffer(child.stderr), once(child, "close")]);
  if (child.exitCode !== 0) throw new Error(`git ${args.join(" ")} ended with ${child.exitCode}: ${stderr}`);
  return stdout.toString().replace(/\n$/, "");
}
