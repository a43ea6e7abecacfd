import { outputOf } from "@airlock/process";
import type { Abortable } from "../contract/index.ts";
import { runtimeFailed } from "../contract/index.ts";

/** User and group, as host ids. */
export interface Owner {
  readonly uid: number;
  readonly gid: number;
}

/**
 * Makes the user of the next step the owner of everything below a workspace, including links themselves but not their
 * targets. chown(1) walks with openat(2). So depth and names don't matter, and a link that replaces a directory
 * meanwhile is not followed. No process of the job runs at this time.
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
