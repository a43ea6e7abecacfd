import { open, rename, rm } from "node:fs/promises";

/**
 * Replaces the file atomically: readers see the old or the new contents. The new ones survive a power cut once this
 * resolves.
 */
export async function writeFileAtomically(file: string, contents: string, mode: number): Promise<void> {
  const half = `${file}.${process.pid}.tmp`;
  await rm(half, { force: true });
  const handle = await open(half, "wx", mode);
  try {
    await handle.writeFile(contents);
    await handle.sync();
  } finally {
    await handle.close();
  }
  await rename(half, file);
}
