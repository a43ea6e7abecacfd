import { globSync } from "node:fs";
import { join } from "node:path";

/** Paths of all workspaces below an executor's data directory: of running jobs, and those that wait to be removed. */
export async function workspacesIn(dataDir: string): Promise<readonly string[]> {
  return globSync([join(dataDir, "workspaces/*/[!.]*"), join(dataDir, "workspaces/*/.trash/*")]);
}
