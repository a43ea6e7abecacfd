import { readdir, stat, statfs } from "node:fs/promises";
import { runProgram } from "@airlock/process";
import { errorCode } from "../host/error-code.ts";

/** Maximum number of descriptors to inspect per measurement: a job may hold millions. */
const mostDescriptors = 20_000;
const blockBytes = 512;
const bytesOfFile = 4096;
/** Magic numbers of tmpfs and hugetlbfs: statfs(2). */
const memoryFileSystems: ReadonlySet<number> = new Set([0x01021994, 0x958458f6]);

/** Disk use of these directories in bytes, without what is mounted below them. */
async function directoryBytes(directories: readonly string[]): Promise<number> {
  return await sumOfDirectories(["--block-size=1"], directories);
}

/** Number of files, directories and links in these directories, without what is mounted below them. */
async function directoryFiles(directories: readonly string[]): Promise<number> {
  return await sumOfDirectories(["--inodes"], directories);
}

/**
 * Disk use of these directories, plus one block per file. Each file also takes an inode, and the host may run out of
 * inodes before it runs out of bytes.
 */
export async function usedBytes(directories: readonly string[]): Promise<number> {
  const [bytes, files] = await Promise.all([directoryBytes(directories), directoryFiles(directories)]);
  return bytes + files * bytesOfFile;
}

async function sumOfDirectories(options: readonly string[], directories: readonly string[]): Promise<number> {
  if (directories.length === 0) return 0;
  // Files appear and disappear meanwhile. du then exits with an error but still prints the sum of the others.
  const { stdout } = await runProgram(["du", "-s", "-x", ...options, "--", ...directories]);
  return [...stdout.matchAll(/^(\d+)\t/gm)].reduce((sum, [, count]) => sum + Number(count), 0);
}

/** Used and free bytes of the file system that holds this directory. */
export async function fileSystemBytes(directory: string): Promise<{ readonly used: number; readonly free: number }> {
  const { bsize, blocks, bfree } = await statfs(directory);
  return { used: (blocks - bfree) * bsize, free: bfree * bsize };
}

/**
 * Size in bytes of deleted files that these processes still hold open or mapped: they occupy the disk, but no directory
 * shows them. Files in memory file systems are excluded, since they count as memory. Files in transit through a socket
 * can't be seen from outside.
 */
export async function unnamedFileBytes(processes: Iterable<number>): Promise<number> {
  const sizes = new Map<string, number>();
  let looked = 0;
  for (const pid of processes) {
    for (const kind of ["fd", "map_files"]) {
      for (const name of await readdir(`/proc/${pid}/${kind}`).catch(unlessGone)) {
        looked += 1;
        if (looked > mostDescriptors) break;
        const path = `/proc/${pid}/${kind}/${name}`;
        const file = await stat(path).catch(unlessGone);
        if (!("ino" in file) || !file.isFile() || file.nlink > 0) continue;
        const fileSystem = await statfs(path).catch(unlessGone);
        if ("type" in fileSystem && memoryFileSystems.has(fileSystem.type)) continue;
        sizes.set(`${file.dev}:${file.ino}`, file.blocks * blockBytes);
      }
    }
  }
  return [...sizes.values()].reduce((sum, bytes) => sum + bytes, 0);
}

function unlessGone(error: unknown): never[] {
  if (["ENOENT", "ESRCH", "EACCES", "EPERM"].includes(errorCode(error) ?? "")) return [];
  throw error;
}
