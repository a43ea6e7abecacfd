import { AirlockError } from "@airlock/job";
import { outputOf } from "@airlock/process";

/**
 * Copies a directory to a path that does not exist yet, with owners, modes, times and links. Shares blocks (reflinks)
 * where the file system supports it.
 * @throws {AirlockError} code `copy-failed`, reason `runtime`.
 */
export async function copyTree(source: string, target: string, signal: AbortSignal): Promise<void> {
  try {
    await outputOf(["cp", "-a", "--reflink=auto", "--", source, target], { signal });
  } catch (cause) {
    signal.throwIfAborted();
    throw new AirlockError("copying the checkout failed", {
      code: "copy-failed",
      reason: "runtime",
      hint: "Free space on the executor's disk.",
      cause,
    });
  }
}
