import { outputOf } from "@airlock/process";
import type { Abortable } from "../contract/index.ts";
import { runtimeFailed } from "../contract/index.ts";

/** Ids of the host. */
export interface Owner {
  readonly uid: number;
  readonly gid: number;
}

/**
 * Gives everything below a workspace to the user of the next step, links themselves instead of what they lead to. chown(1)
 * walks with openat(2), so neither depth nor names matter, and a link that takes a directory's place meanwhile is not
 * followed either. Nothing of the job runs then.
 * @throws {AirlockError} reason `runtime`; `signal.reason` when aborted.
 */
export async function handOverWorkspace(workspaceDir: string, owner: Owner, { signal }: Abortable): Promise<void> {
  try {
    await outputOf(["chown", "-R", "-h", "-P", `${owner.uid}:${owner.gid}`, "--", workspaceDir], { signal });
  } catch (error) {
    signal.throwIfAborted();
    throw runtimeFailed("the workspace could not be given to the image's user", error);
  }
}
