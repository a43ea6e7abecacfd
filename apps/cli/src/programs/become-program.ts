import { spawn } from "node:child_process";
import { constants } from "node:os";
import { AirlockError, errorMessage } from "@airlock/job";
import { type ProgramName, programArguments } from "./program-arguments.ts";

/**
 * Becomes another program, with the same process id, terminal, signals and exit code. If the system can't replace a
 * process, runs the program as a child and forwards our signals.
 */
export async function becomeProgram(
  name: ProgramName,
  args: readonly string[],
  env: NodeJS.ProcessEnv,
): Promise<number> {
  const argv = [process.execPath, ...programArguments(name), ...args];
  if (process.execve && process.platform !== "win32") process.execve(process.execPath, argv, env);
  const child = spawn(process.execPath, argv.slice(1), { stdio: "inherit", env });
  for (const signal of ["SIGTERM", "SIGHUP"] as const) process.on(signal, () => child.kill(signal));
  // The terminal sends SIGINT to both processes. Ignore it here and wait for the child.
  process.on("SIGINT", () => {});
  return new Promise((resolve, reject) => {
    child.on("error", (cause) => {
      reject(new AirlockError(`cannot start ${name}: ${errorMessage(cause)}`, { code: "program-failed", cause }));
    });
    child.on("exit", (code, signal) => resolve(code ?? 128 + (signal ? constants.signals[signal] : 1)));
  });
}
