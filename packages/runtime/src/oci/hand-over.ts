import { lchownSync, lstatSync, readdirSync } from "node:fs";
import { join } from "node:path";
import type { Abortable } from "../contract.ts";
import { runCommand } from "../host/run-command.ts";

/** Ids of the host. */
export interface Owner {
  readonly uid: number;
  readonly gid: number;
}

/**
 * Gives a tree that jobs write to a user, links themselves instead of what they lead to. chown(1) walks with openat(2), so
 * neither depth nor names matter, and a link that takes a directory's place meanwhile is not followed either.
 */
export async function handOverWorkspace(directory: string, owner: Owner, { signal }: Abortable): Promise<void> {
  await runCommand("chown", ["-R", "-h", "-P", `${owner.uid}:${owner.gid}`, "--", directory], { signal });
}

/**
 * Gives a small tree that only we write to a user who then can read it, whatever its modes. Synchronously, since the kernel
 * answers from memory, and a step waits for it.
 */
export function handOverScripts(path: string, owner: Owner): void {
  const stats = lstatSync(path);
  if (stats.uid !== owner.uid || stats.gid !== owner.gid) lchownSync(path, owner.uid, owner.gid);
  if (!stats.isDirectory()) return;
  for (const name of readdirSync(path)) handOverScripts(join(path, name), owner);
}
