import { lstat } from "node:fs/promises";
import { AirlockError } from "@airlock/job";
import { outputOf } from "@airlock/process";

/**
 * Removes a directory that hostile code has filled: any depth, any number of files, any name, directories without
 * permissions; links are removed, never followed. `rm` walks by open directories, so no path gets too long for it, as it
 * does for Node's own recursive removal.
 * @throws {AirlockError} code `remove-failed` when something is left.
 */
export async function removeHostileTree(dir: string, signal: AbortSignal): Promise<void> {
  const remove = () => outputOf(["rm", "-rf", "--one-file-system", "--", dir], { signal });
  try {
    await remove();
    return;
  } catch {
    signal.throwIfAborted();
  }
  try {
    // Without root, directories that a step left without permissions must be opened first.
    await outputOf(["chmod", "-R", "u+rwX", "--", dir], { signal }).catch(() => signal.throwIfAborted());
    await remove();
  } catch (cause) {
    signal.throwIfAborted();
    if (!(await exists(dir))) return;
    throw new AirlockError(`cannot remove ${dir}`, {
      code: "remove-failed",
      hint: "A step left files of another user: run the executor as root, or a runtime that maps users.",
      cause,
    });
  }
}

async function exists(path: string): Promise<boolean> {
  return await lstat(path).then(
    () => true,
    () => false,
  );
}
