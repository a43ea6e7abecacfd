import { randomUUID } from "node:crypto";
import { readdir, rename, rm } from "node:fs/promises";
import path from "node:path";

const trashPrefix = ".trash-";
const mirrorSuffix = ".git";

/**
 * Takes a mirror out of the way, then deletes it: a repository of the same name may be added while the old one is
 * deleted. What a killed instance leaves is found by `removeTrash`.
 */
export async function removeMirror(mirrors: string, directory: string): Promise<void> {
  const trash = path.join(mirrors, `${trashPrefix}${randomUUID()}`);
  await rename(directory, trash);
  await rm(trash, { recursive: true, force: true });
}

/** Deletes what deletions left that were interrupted. */
export async function removeTrash(mirrors: string): Promise<void> {
  const names = await readdir(mirrors);
  for (const name of names.filter((each) => each.startsWith(trashPrefix))) {
    await rm(path.join(mirrors, name), { recursive: true, force: true });
  }
}

/** Names of the repositories whose mirrors are in the directory. */
export async function listMirrors(mirrors: string, below = ""): Promise<string[]> {
  const entries = await readdir(path.join(mirrors, below), { withFileTypes: true });
  const names = entries.map(async (entry): Promise<string[]> => {
    if (!entry.isDirectory() || entry.name.startsWith(".")) return [];
    const name = below === "" ? entry.name : `${below}/${entry.name}`;
    return name.endsWith(mirrorSuffix) ? [name.slice(0, -mirrorSuffix.length)] : listMirrors(mirrors, name);
  });
  return (await Promise.all(names)).flat();
}
