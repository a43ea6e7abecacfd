import { AirlockError } from "@airlock/job";
import { outputOf } from "@airlock/process";

/**
 * Copies a directory to a place where nothing is yet, with owners, modes, times and links, sharing blocks where the file
 * system can.
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
      hint: "Make room on the executor's disk.",
      cause,
    });
  }
}
