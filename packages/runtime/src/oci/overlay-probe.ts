import { mkdir, mkdtemp } from "node:fs/promises";
import { join } from "node:path";
import { outputOf } from "@airlock/process";
import { removeTree } from "../host/remove-tree.ts";

/**
 * Mounts an overlay to find out whether overlays work on this file system, for this user, and with which options.
 * Resolves to those options, which may be empty. Resolves to `null` without root, without overlayfs, or if the
 * directory is itself on an overlay.
 */
export async function probeOverlay(directory: string): Promise<readonly string[] | null> {
  const probe = await mkdtemp(join(directory, "probe-"));
  try {
    for (const name of ["lower", "upper", "work", "root"]) await mkdir(join(probe, name));
    // `volatile` skips syncing to the disk, because a step's root file system is never kept.
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
