import { constants } from "node:fs";
import { mkdir, open, rename } from "node:fs/promises";
import { dirname } from "node:path";
import { runtimeFailed } from "../contract/index.ts";
import { errorCode } from "../host/error-code.ts";

/**
 * Moves the disk of a machine that has ended to a place that stays. Only root can read it there. The machine's user owned
 * the directory, so a guest that has taken over its monitor may have put anything in place of the disk.
 * @throws {AirlockError} reason `runtime` when it is not a file of its own.
 */
export async function keepDisk(disk: string, target: string): Promise<void> {
  await mkdir(dirname(target), { recursive: true, mode: 0o711 });
  try {
    await using file = await open(disk, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    const stats = await file.stat();
    if (!stats.isFile() || stats.nlink !== 1) throw notAFile(disk);
    await file.chown(0, 0);
    await file.chmod(0o600);
    await rename(disk, target);
  } catch (error) {
    // An earlier attempt moved it.
    if (errorCode(error) === "ENOENT") return;
    if (errorCode(error) === "ELOOP") throw notAFile(disk, error);
    throw error;
  }
}

function notAFile(disk: string, cause?: unknown): Error {
  return runtimeFailed(`the disk ${disk} is not kept: it is not a regular file with one name`, cause);
}
