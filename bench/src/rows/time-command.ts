import { execFile } from "node:child_process";

/**
 * Runs a program that must print `hi` and exit with 0. Resolves to its wall time in milliseconds, from spawn to exit.
 */
export function timeCommand(
  file: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv = process.env,
): Promise<number> {
  const startedAt = performance.now();
  return new Promise((resolve, reject) => {
    execFile(file, args, { env }, (error, stdout, stderr) => {
      if (error) reject(new Error(`${file} ${args.join(" ")}: ${stderr || error.message}`));
      else if (stdout !== "hi\n") reject(new Error(`${file} printed ${JSON.stringify(stdout)} instead of hi`));
      else resolve(performance.now() - startedAt);
    });
  });
}
