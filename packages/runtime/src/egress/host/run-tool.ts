import { spawn } from "node:child_process";
import { finished } from "node:stream/promises";

/** Where system tools are looked for, whatever the caller's own PATH. */
export const toolEnv = { PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", LC_ALL: "C" };

const maxOutputBytes = 16 << 20;
const timeoutMs = 30_000;

/** A system tool that said no, in its own words. */
export class ToolError extends Error {
  override readonly name = "ToolError";
}

/**
 * Runs `command` (an argument vector) to its end with `input` as its standard input, and answers what it printed.
 * @throws {ToolError} when it can't be started, exits with a code other than 0 or takes longer than 30 s.
 */
export async function runTool(command: readonly string[], input = ""): Promise<string> {
  const [file = "", ...args] = command;
  const child = spawn(file, args, { stdio: "pipe", env: toolEnv, timeout: timeoutMs, killSignal: "SIGKILL" });
  const ended = new Promise<number | string>((resolve, reject) => {
    child.once("error", (error) => reject(new ToolError(`cannot run ${file}`, { cause: error })));
    child.once("close", (code, signal) => resolve(code ?? signal ?? "unknown"));
  });
  // A tool that ends before it has read everything says why in its exit code and words.
  child.stdin.on("error", () => {});
  child.stdin.end(input);
  const [status, stdout, stderr] = await Promise.all([ended, collect(child.stdout), collect(child.stderr)]);
  if (status !== 0) throw new ToolError(`${file} failed (${status}): ${stderr.trim().slice(0, 2000)}`);
  return stdout;
}

async function collect(stream: NodeJS.ReadableStream): Promise<string> {
  const chunks: Buffer[] = [];
  let length = 0;
  stream.on("data", (chunk: Buffer) => {
    length += chunk.length;
    if (length <= maxOutputBytes) chunks.push(chunk);
  });
  await finished(stream);
  return Buffer.concat(chunks).toString("utf8");
}
