import { existsSync } from "node:fs";
import { join } from "node:path";

/** Where a sandbox's files are on this host, for tests that look at them from outside. */
export interface HostPlace {
  readonly workspaceDir: string;
  readonly readOnlyDir: string;
}

/** @param workspacesDir what the runtime was made with. */
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
