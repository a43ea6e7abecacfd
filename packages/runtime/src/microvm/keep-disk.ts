import { chmod, chown, mkdir, rename } from "node:fs/promises";
import { dirname } from "node:path";
import { errorCode } from "../host/error-code.ts";

/** Moves the disk of a machine that has ended to a place that stays. Only root can read it there. */
export async function keepDisk(disk: string, target: string): Promise<void> {
  await mkdir(dirname(target), { recursive: true, mode: 0o711 });
  try {
    await rename(disk, target);
  } catch (error) {
    // An earlier attempt moved it.
    if (errorCode(error) === "ENOENT") return;
    throw error;
  }
  await chown(target, 0, 0);
  await chmod(target, 0o600);
}
