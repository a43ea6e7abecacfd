import { globSync } from "node:fs";
import { join } from "node:path";

/** The workspaces of running jobs below an executor's data directory, and those that wait to be removed. */
export async function workspacesIn(dataDir: string): Promise<readonly string[]> {
  return globSync([join(dataDir, "workspaces/*/[!.]*"), join(dataDir, "workspaces/*/.trash/*")]);
}
