import { readdir, rmdir } from "node:fs/promises";
import { join } from "node:path";

/** Removes the empty cgroup directories that remain in each hierarchy after the processes have ended. */
export async function removeCgroup(name: string): Promise<void> {
  const root = "/sys/fs/cgroup";
  const hierarchies = await readdir(root).catch(() => []);
  for (const path of [join(root, name), ...hierarchies.map((hierarchy) => join(root, hierarchy, name))]) {
    await removeEmptyTree(path);
  }
}

async function removeEmptyTree(path: string): Promise<void> {
  const entries = await readdir(path, { withFileTypes: true }).catch(() => undefined);
  if (!entries) return;
  for (const entry of entries) if (entry.isDirectory()) await removeEmptyTree(join(path, entry.name));
  await rmdir(path);
}
