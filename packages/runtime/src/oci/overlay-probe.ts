import { mkdir, mkdtemp } from "node:fs/promises";
import { join } from "node:path";
import { outputOf } from "@airlock/process";
import { removeTree } from "../host/remove-tree.ts";

/**
 * Finds out by mounting one whether overlays work on this file system, for this user, and with which options, which may be
 * none. Answers `null` when they don't: not root, no such file system, or a directory that is an overlay itself.
 */
export async function probeOverlay(directory: string): Promise<readonly string[] | null> {
  const probe = await mkdtemp(join(directory, "probe-"));
  try {
    for (const name of ["lower", "upper", "work", "root"]) await mkdir(join(probe, name));
    // Volatile: nothing of a step's root file system is to be kept, so nothing of it need be written to the disk.
    for (const options of [["volatile"], []]) {
      const places = [`lowerdir=${probe}/lower`, `upperdir=${probe}/upper`, `workdir=${probe}/work`];
      const mount = [...places, "nosuid", ...options].join(",");
      const works = await outputOf([
        "unshare",
        "--mount",
        "--",
        "mount",
        "-n",
        "-t",
        "overlay",
        "-o",
        mount,
        "overlay",
        join(probe, "root"),
      ]).then(
        () => true,
        () => false,
      );
      if (works) return options;
    }
    return null;
  } finally {
    await removeTree(probe);
  }
}
