import { execFile } from "node:child_process";
import { readdir, stat, statfs } from "node:fs/promises";
import { promisify } from "node:util";
import { errorCode } from "../host/error-code.ts";

/** Descriptors that are looked at in one round: a job may hold millions. */
const mostDescriptors = 20_000;
const blockBytes = 512;

/** Bytes that these directories of this machine take up, without what is mounted below them. */
export async function directoryBytes(directories: readonly string[]): Promise<number> {
  if (directories.length === 0) return 0;
  const args = ["-s", "-x", "--block-size=1", "--", ...directories];
  const env = { PATH: "/usr/sbin:/usr/bin:/sbin:/bin", LC_ALL: "C" };
  const stdout = await promisify(execFile)("du", args, { env }).then(
    (done) => done.stdout,
    // Files come and go meanwhile: it complains, and prints the sum of the others.
    (error: unknown) => printedBy(error),
  );
  return [...stdout.matchAll(/^(\d+)\t/gm)].reduce((sum, [, bytes]) => sum + Number(bytes), 0);
}

function printedBy(error: unknown): string {
  if (error instanceof Error && "stdout" in error && typeof error.stdout === "string") return error.stdout;
  throw error;
}

/** Bytes of the file system that holds this directory. */
export async function fileSystemBytes(directory: string): Promise<{ readonly used: number; readonly free: number }> {
  const { bsize, blocks, bfree } = await statfs(directory);
  return { used: (blocks - bfree) * bsize, free: bfree * bsize };
}

/** Bytes of files without a name that these processes hold open: they take up a disk and no directory shows them. */
export async function unnamedFileBytes(processes: Iterable<number>): Promise<number> {
  const sizes = new Map<string, number>();
  let looked = 0;
  for (const pid of processes) {
    for (const descriptor of await readdir(`/proc/${pid}/fd`).catch(unlessGone)) {
      looked += 1;
      if (looked > mostDescriptors) break;
      const file = await stat(`/proc/${pid}/fd/${descriptor}`).catch(unlessGone);
      if ("ino" in file && file.isFile() && file.nlink === 0)
        sizes.set(`${file.dev}:${file.ino}`, file.blocks * blockBytes);
    }
  }
  return [...sizes.values()].reduce((sum, bytes) => sum + bytes, 0);
}

function unlessGone(error: unknown): never[] {
  if (["ENOENT", "ESRCH", "EACCES"].includes(errorCode(error) ?? "")) return [];
  throw error;
}
