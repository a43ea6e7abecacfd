import { open, rename, rm } from "node:fs/promises";

/** Readers see the old contents or the new, never a part; the new survive a power cut once this resolves. */
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
