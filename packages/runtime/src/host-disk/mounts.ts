import { mkdir, rm, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { pause } from "@airlock/async";
import { AirlockError, errorMessage } from "@airlock/job";
import { outputOf, systemEnvironment } from "@airlock/process";
import { readMounts } from "../host/mounts.ts";

/** util-linux from 2.39 on may use `fsconfig`, which limits an option such as `lowerdir` to 255 bytes. */
const mountEnvironment = { ...systemEnvironment, LIBMOUNT_FORCE_MOUNT2: "always" };

/**
 * Mounts an overlay: a writable layer below `storageDir` on top of a tree that stays unchanged. What is written to it
 * may be lost if the machine crashes, even after `fsync`. Needs root.
 * @param lower The tree, or the layers of a tree, topmost first and separated by colons.
 * @throws {AirlockError} code `mount-failed`.
 */
export async function mountOverlay(
  lower: string,
  storageDir: string,
  target: string,
  signal: AbortSignal,
): Promise<void> {
  const upper = join(storageDir, "upper");
  const work = join(storageDir, "work");
  await Promise.all([upper, work, target].map((dir) => mkdir(dir, { recursive: true })));
  // redirect_dir: otherwise directories of the repository could not be renamed in the workspace.
  const options = `nosuid,nodev,redirect_dir=on,index=off,metacopy=off,lowerdir=${lower},upperdir=${upper},workdir=${work}`;
  const mount = (more: string) => run("mount", ["-t", "overlay", "-o", `${options}${more}`, "overlay", target], signal);
  try {
    // Without `volatile`, git's `fsync` and unmounting write to the disk, and unmounting syncs the whole file system.
    await mount(",volatile");
  } catch {
    signal.throwIfAborted();
    // Linux before 5.10 does not know the option.
    await mount("");
  }
}

/**
 * Creates a file system of exactly this size in a sparse file and mounts it. So a job can't fill the host's disk,
 * neither with data nor with empty files. It has one inode per 8 KiB, or per 4 KiB below 512 MiB. Needs root.
 * @throws {AirlockError} code `mount-failed`.
 */
export async function mountDiskImage(file: string, bytes: number, target: string, signal: AbortSignal): Promise<void> {
  await writeFile(file, "", { mode: 0o600 });
  await truncate(file, bytes);
  await mkdir(target, { recursive: true });
  // No journal, no reserved blocks, no room to grow, two copies of the superblock: the file system only lives as long
  // as the job.
  const features = "^has_journal,^resize_inode,sparse_super2";
  const bytesPerInode = bytes < 512 * 2 ** 20 ? "4096" : "8192";
  const format = ["-b", "4096", "-i", bytesPerInode, "-m0", "-O", features];
  const quick = ["-E", "nodiscard,lazy_itable_init=1,packed_meta_blocks=1"];
  await run("mkfs.ext4", ["-q", "-F", ...format, ...quick, file], signal);
  // noinit_itable: otherwise the kernel zeroes all inode tables in the background, hundreds of megabytes per job.
  await run("mount", ["-o", "loop,noatime,nosuid,nodev,noinit_itable", file, target], signal);
  await rm(join(target, "lost+found"), { recursive: true, force: true });
}

/**
 * Unmounts everything at and below a directory, last mounted first. Loop devices are released with their mounts.
 * @returns how many mounts there were.
 * @throws {AirlockError} code `mount-failed`.
 */
export async function unmountBelow(dir: string, signal: AbortSignal): Promise<number> {
  const points = (await readMounts())
    .map(({ path }) => path)
    .filter((path) => path === dir || path.startsWith(`${dir}/`))
    .reverse();
  for (const point of points) await unmount(point, signal);
  return points.length;
}

async function unmount(point: string, signal: AbortSignal): Promise<void> {
  for (let attempt = 0; ; attempt += 1) {
    try {
      // Finally unmount lazily: the mount disappears from its path, and the kernel frees it once no process uses it.
      await run("umount", attempt < 5 ? ["--", point] : ["-l", "--", point], signal);
      return;
    } catch (error) {
      if (/not mounted|no mount point/.test(errorMessage(error))) return;
      if (attempt >= 5) throw error;
    }
    await pause(50 * 2 ** attempt, signal);
    signal.throwIfAborted();
  }
}

async function run(program: string, args: readonly string[], signal: AbortSignal): Promise<void> {
  try {
    await outputOf([program, ...args], { env: mountEnvironment, signal });
  } catch (cause) {
    signal.throwIfAborted();
    throw new AirlockError("changing the mounts of this machine failed", {
      code: "mount-failed",
      reason: "runtime",
      cause,
    });
  }
}

/** Whether a path can be used in mount options, where commas and colons are separators. */
export function isMountablePath(path: string): boolean {
  return !/[,:\\\s]/.test(path);
}
