import { randomUUID } from "node:crypto";
import { readdir, rename, rm } from "node:fs/promises";
import path from "node:path";

const trashPrefix = ".trash-";
const mirrorSuffix = ".git";

/**
 * Renames a mirror, then deletes it, so that a repository of the same name can be added meanwhile. `removeTrash`
 * deletes what a killed instance leaves.
 */
export async function removeMirror(mirrors: string, directory: string): Promise<void> {
  const trash = path.join(mirrors, `${trashPrefix}${randomUUID()}`);
  await rename(directory, trash);
  await rm(trash, { recursive: true, force: true });
}

/** Deletes what interrupted deletions left. */
export async function removeTrash(mirrors: string): Promise<void> {
  const names = await readdir(mirrors);
  for (const name of names.filter((each) => each.startsWith(trashPrefix))) {
    await rm(path.join(mirrors, name), { recursive: true, force: true });
  }
}

/** Names of the repositories that have a mirror in the directory. */
export async function listMirrors(mirrors: string, below = ""): Promise<string[]> {
  const entries = await readdir(path.join(mirrors, below), { withFileTypes: true });
  const names = entries.map(async (entry): Promise<string[]> => {
    if (!entry.isDirectory() || entry.name.startsWith(".")) return [];
    const name = below === "" ? entry.name : `${below}/${entry.name}`;
    return name.endsWith(mirrorSuffix) ? [name.slice(0, -mirrorSuffix.length)] : listMirrors(mirrors, name);
  });
  return (await Promise.all(names)).flat();
}
