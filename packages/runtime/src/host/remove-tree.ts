import { lstat } from "node:fs/promises";
import { AirlockError } from "@airlock/job";
import { outputOf } from "@airlock/process";

/**
 * Removes trees written by a job: any depth, any number of files, any names. Never follows links or crosses mounts. Node's
 * recursive removal builds whole paths, so it fails on trees deeper than PATH_MAX. `rm` walks with openat.
 */
export async function removeTree(...paths: readonly string[]): Promise<void> {
  await remove(paths);
}

/**
 * {@link removeTree} also for an executor without root: directories may lack permissions, and files of another user are
 * reported with a hint.
 * @throws {AirlockError} code `remove-failed` when something is left.
 */
export async function removeHostileTree(dir: string, signal: AbortSignal): Promise<void> {
  try {
    await remove([dir], signal);
    return;
  } catch {
    signal.throwIfAborted();
  }
  try {
    // Without root, directories to which a step removed all permissions must be made accessible first.
    await outputOf(["chmod", "-R", "u+rwX", "--", dir], { signal }).catch(() => signal.throwIfAborted());
    await remove([dir], signal);
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

async function remove(paths: readonly string[], signal?: AbortSignal): Promise<void> {
  await outputOf(["rm", "-rf", "--one-file-system", "--", ...paths], signal ? { signal } : {});
}

async function exists(path: string): Promise<boolean> {
  return await lstat(path).then(
    () => true,
    () => false,
  );
}
