import { lstat } from "node:fs/promises";
import { AirlockError } from "@airlock/job";
import { runHostCommand } from "../../host/host-command.ts";

/**
 * Removes a directory that hostile code has filled: any depth, any number of files, any name, directories without
 * permissions; links are removed, never followed. `rm` walks by open directories, so no path gets too long for it, as it
 * does for Node's own recursive removal.
 * @throws {AirlockError} when something is left.
 */
export async function removeTree(dir: string, path: string, signal: AbortSignal): Promise<void> {
  const options = { env: { PATH: path, LC_ALL: "C" }, signal };
  const first = await runHostCommand(["rm", "-rf", "--", dir], options);
  if (first.exitCode === 0) return;
  // Without root, directories that a step left without permissions must be opened first.
  await runHostCommand(["chmod", "-R", "u+rwX", "--", dir], options);
  const second = await runHostCommand(["rm", "-rf", "--", dir], options);
  if (second.exitCode === 0 || !(await exists(dir))) return;
  throw new AirlockError(`cannot remove ${dir}: ${second.stderr.trim().slice(-300)}`, {
    code: "remove-failed",
    hint: "A step left files of another user: run the executor as root, or a runtime that maps users.",
  });
}

async function exists(path: string): Promise<boolean> {
  return await lstat(path).then(
    () => true,
    () => false,
  );
}
