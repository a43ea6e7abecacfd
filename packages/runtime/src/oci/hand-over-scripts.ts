import { lchownSync, lstatSync, readdirSync } from "node:fs";
import { join } from "node:path";
import type { Owner } from "../isolation/hand-over-workspace.ts";

/**
 * Changes the owner of a small tree that only the executor writes, so that the new owner can read it, whatever its
 * modes. Synchronous, because the kernel answers from memory and a step is waiting.
 */
export function handOverScripts(path: string, owner: Owner): void {
  const stats = lstatSync(path);
  if (stats.uid !== owner.uid || stats.gid !== owner.gid) lchownSync(path, owner.uid, owner.gid);
  if (!stats.isDirectory()) return;
  for (const name of readdirSync(path)) handOverScripts(join(path, name), owner);
}
