import { AirlockError } from "@airlock/job";
import { outputOf } from "@airlock/process";
import type { FileOwner } from "../contract/workspace.ts";

/**
 * Changes the owner of files below a directory that this process wrote: links themselves, not their targets. Files of
 * other owners are not touched, so that an overlay does not copy them up.
 * @param owner `null`: this process.
 * @throws {AirlockError} code `hand-over-failed`, reason `runtime`.
 */
export async function handOver(dir: string, owner: FileOwner | null, signal: AbortSignal): Promise<void> {
  const uid = process.geteuid?.() ?? 0;
  if (owner === null || owner.uid === uid) return;
  try {
    await outputOf(["chown", "-hR", `--from=${uid}`, `${owner.uid}:${owner.gid}`, "--", dir], { signal });
  } catch (cause) {
    signal.throwIfAborted();
    throw new AirlockError(`giving the files to user ${owner.uid} failed`, {
      code: "hand-over-failed",
      reason: "runtime",
      cause,
    });
  }
}
