import { chown, link, lstat, open, truncate } from "node:fs/promises";
import { join } from "node:path";
import { runtimeFailed } from "../../../contract/errors.ts";
import { errorCode } from "../../../host/error-code.ts";
import type { Enclosure } from "./enclosure.ts";

/**
 * Makes a file visible to the monitor, without a copy.
 * @param access `read`: everyone may read it. `own`: the monitor's user becomes its owner.
 * @throws {AirlockError} reason `runtime`, with a hint, where a hard link can't be made or read.
 */
export async function shareFile(
  enclosure: Enclosure,
  source: string,
  name: string,
  access: "read" | "own",
): Promise<void> {
  const stats = await lstat(source).catch((cause: unknown) => {
    throw runtimeFailed(`the virtual machine's file ${source} can't be read`, cause);
  });
  if (!stats.isFile()) throw runtimeFailed(`the virtual machine's file ${source} is not a regular file`);
  if (enclosure.user !== null && access === "read" && (stats.mode & 0o004) === 0) {
    const hint = "Give it mode 0444: each virtual machine's monitor runs as a user of its own.";
    throw runtimeFailed(`the virtual machine's file ${source} is not readable for other users`, undefined, hint);
  }
  try {
    await link(source, join(enclosure.root, name));
  } catch (cause) {
    const isElsewhere = errorCode(cause) === "EXDEV";
    throw runtimeFailed(
      `the virtual machine's file ${source} can't be linked into ${enclosure.root}`,
      cause,
      isElsewhere ? "Keep images, disks and the directories of virtual machines on one file system." : undefined,
    );
  }
  if (enclosure.user !== null && access === "own") await chown(source, enclosure.user, enclosure.user);
}

/** Makes an empty file in place of an image that comes later. It takes no space. */
export async function makeEmptySlot(enclosure: Enclosure, name: string, bytes: number): Promise<void> {
  const path = join(enclosure.root, name);
  await (await open(path, "wx", 0o444)).close();
  await truncate(path, bytes);
}
