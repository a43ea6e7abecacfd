import { lstat } from "node:fs/promises";
import { AirlockError } from "@airlock/job";
import { outputOf } from "@airlock/process";

/**
 * Removes a directory that untrusted code has filled: any depth, any number of files, any names, directories without
 * permissions. Links are removed, never followed. `rm` walks with openat, so paths can't get too long for it, as they
 * do for Node's recursive removal.
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
    // Without root, directories to which a step removed all permissions must be made accessible first.
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
