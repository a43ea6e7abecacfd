import { existsSync } from "node:fs";
import { join } from "node:path";

/** Paths of a sandbox's files on this host, for tests that inspect them from outside. */
export interface HostPlace {
  readonly workspaceDir: string;
  readonly readOnlyDir: string;
}

/** @param workspacesDir the directory that the runtime was created with. */
export function hostPlace(
  workspacesDir: string,
  { owner, id }: { readonly owner: string; readonly id: string },
): HostPlace {
  const dir = join(workspacesDir, owner, id);
  const bounded = join(dir, "disk", "data");
  return {
    workspaceDir: existsSync(bounded) ? bounded : join(dir, "data"),
    readOnlyDir: join(dir, "read-only"),
  };
}
