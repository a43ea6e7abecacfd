import { mkdir, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { AirlockError, errorMessage } from "@airlock/job";
import { runHostCommand } from "../../host/host-command.ts";

/** Mounting and unmounting on the host, for workspaces that are overlays or disk images. Needs root. */
export class Mounts {
  readonly #path: string;

  constructor(path: string) {
    this.#path = path;
  }

  /** Stacks a writable layer on a read-only tree. Steps see one directory; the tree stays as it is. */
  async overlay(lower: string, storageDir: string, target: string, signal: AbortSignal): Promise<void> {
    const upper = join(storageDir, "upper");
    const work = join(storageDir, "work");
    await Promise.all([upper, work, target].map((dir) => mkdir(dir, { recursive: true })));
    // redirect_dir: without it a directory of the repository could not be renamed in the workspace.
    const options = `nosuid,nodev,redirect_dir=on,index=off,metacopy=off,lowerdir=${lower},upperdir=${upper},workdir=${work}`;
    await this.#run(["mount", "-t", "overlay", "-o", options, "overlay", target], signal);
  }

  /**
   * A file system of its own of exactly this size, in a sparse file: what is written to it can't fill the host's disk,
   * neither with bytes nor with empty files, of which it holds one for every 8 KiB.
   */
  async diskImage(file: string, bytes: number, target: string, signal: AbortSignal): Promise<void> {
    await writeFile(file, "", { mode: 0o600 });
    await truncate(file, bytes);
    await mkdir(target, { recursive: true });
    // No journal, no reserve, no room to grow, two copies of the superblock: the file system lives as long as the job.
    const features = "^has_journal,^resize_inode,sparse_super2";
    const bytesPerInode = bytes < 512 * 2 ** 20 ? "4096" : "8192";
    const format = ["-b", "4096", "-i", bytesPerInode, "-m0", "-O", features];
    const quick = ["-E", "nodiscard,lazy_itable_init=1,packed_meta_blocks=1"];
    await this.#run(["mkfs.ext4", "-q", "-F", ...format, ...quick, file], signal);
    // noinit_itable: else the kernel writes zeros over all inode tables in the background, hundreds of megabytes a job.
    await this.#run(["mount", "-o", "loop,noatime,nosuid,nodev,noinit_itable", file, target], signal);
    await rm(join(target, "lost+found"), { recursive: true, force: true });
  }

  /** Unmounts everything at and below a directory, the last mounted first. Loop devices go with their mounts. */
  async unmountBelow(dir: string, signal: AbortSignal): Promise<number> {
    const points = (await mountPoints()).filter((point) => point === dir || point.startsWith(`${dir}/`)).reverse();
    for (const point of points) await this.#unmount(point, signal);
    return points.length;
  }

  async #unmount(point: string, signal: AbortSignal): Promise<void> {
    for (let attempt = 0; ; attempt += 1) {
      // At last lazily: what still holds it open loses its name, and the kernel frees it with the holder.
      const argv = attempt < 5 ? ["umount", "--", point] : ["umount", "-l", "--", point];
      const { exitCode, stderr } = await runHostCommand(argv, { env: this.#environment, signal });
      if (exitCode === 0 || /not mounted|no mount point/.test(stderr)) return;
      if (attempt >= 5) throw mountFailed(argv, stderr);
      await sleep(50 * 2 ** attempt, undefined, { signal });
    }
  }

  async #run(argv: readonly string[], signal: AbortSignal): Promise<void> {
    const { exitCode, stderr } = await runHostCommand(argv, { env: this.#environment, signal }).catch(
      (error: unknown) => {
        signal.throwIfAborted();
        throw mountFailed(argv, errorMessage(error));
      },
    );
    if (exitCode !== 0) throw mountFailed(argv, stderr);
  }

  get #environment(): Record<string, string> {
    return { PATH: this.#path, LC_ALL: "C" };
  }
}

function mountFailed(argv: readonly string[], problem: string): AirlockError {
  return new AirlockError(`${argv[0]} failed: ${problem.trim().slice(-500)}`, {
    code: "mount-failed",
    reason: "runtime",
  });
}

/** In the order in which they were mounted. */
async function mountPoints(): Promise<string[]> {
  const table = await readFile("/proc/self/mountinfo", "latin1").catch(() => "");
  return table
    .split("\n")
    .flatMap((line) => line.split(" ")[4] ?? [])
    .map((point) =>
      Buffer.from(
        point.replace(/\\(\d{3})/g, (_, octal) => String.fromCharCode(Number.parseInt(octal, 8))),
        "latin1",
      ).toString(),
    );
}

/** A path that can stand in mount options: commas and colons separate there. */
export function isMountablePath(path: string): boolean {
  return !/[,:\\\s]/.test(path);
}
