import { mkdtemp, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { isAlive, processIdentity } from "../../../images/store/store-leases.ts";

const prefix = ".guest-";

/** Makes a directory for files that are not complete. Its name tells which process uses it. */
export async function makeGuestScratch(directory: string): Promise<string> {
  return await mkdtemp(join(directory, `${prefix}${processIdentity()}-`));
}

/** Removes what killed processes left. */
export async function removeGuestScratch(directory: string): Promise<void> {
  for (const name of await readdir(directory)) {
    const isLeft = name.startsWith(prefix) && !isAlive(name.slice(prefix.length));
    if (isLeft) await rm(join(directory, name), { recursive: true, force: true });
  }
}
