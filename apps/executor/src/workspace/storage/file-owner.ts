import { AirlockError } from "@airlock/job";
import { runHostCommand } from "../../host/host-command.ts";

/** Of files on the host; see `Runtime.workspaceOwner`. */
export interface FileOwner {
  readonly uid: number;
  readonly gid: number;
}

/**
 * Gives what this process wrote below a directory to another owner, links themselves and nothing that they lead to. What
 * belongs to somebody else already is only looked at, so that an overlay copies up no file for it.
 * @throws {AirlockError} reason `runtime`.
 */
export async function handOver(
  dir: string,
  owner: FileOwner | null,
  { path, signal }: { readonly path: string; readonly signal: AbortSignal },
): Promise<void> {
  const uid = process.geteuid?.() ?? 0;
  if (owner === null || owner.uid === uid) return;
  const argv = ["chown", "-hR", `--from=${uid}`, `${owner.uid}:${owner.gid}`, "--", dir];
  const { exitCode, stderr } = await runHostCommand(argv, { env: { PATH: path, LC_ALL: "C" }, signal });
  if (exitCode === 0) return;
  throw new AirlockError(`giving the workspace to user ${owner.uid} failed: ${stderr.trim().slice(-300)}`, {
    code: "hand-over-failed",
    reason: "runtime",
  });
}
