import { access, constants, mkdir, statfs } from "node:fs/promises";
import { AirlockError, formatBytes } from "@airlock/job";
import type { Config } from "../../config/options.ts";
import type { Check } from "./check.ts";

/** With less than this, not even a small image and a small checkout fit. */
const minimumBytes = 1e9;
const minimumFiles = 10_000;

/** Checks that the data directory is writable and that its file system has room. */
export function checkDataDirectory(
  { dataDir, workspace, worker, job }: Config,
  look: (dir: string) => Promise<Room> = roomIn,
): Check {
  return {
    name: "data directory",
    run: async ({ note }) => {
      await makeWritable(dataDir);
      const room = await look(dataDir);
      const hint = "Free some space, or set EXECUTOR_DATA_DIR to a directory on a larger file system.";
      if (room.freeBytes < minimumBytes) {
        throw new AirlockError(`${dataDir} has ${formatBytes(room.freeBytes)} left`, {
          code: "data-directory-full",
          hint,
        });
      }
      if (room.freeFiles !== null && room.freeFiles < minimumFiles) {
        throw new AirlockError(`${dataDir} has room for only ${room.freeFiles} more files`, {
          code: "data-directory-full",
          hint,
        });
      }
      const wanted = workspace.cacheBytes + worker.slots * (job.maximumDiskBytes ?? workspace.maximumCheckoutBytes);
      if (room.freeBytes < wanted) {
        note(
          `The mirror cache and ${worker.slots} job(s) together may use ${formatBytes(wanted)}, which is more than is free. Lower EXECUTOR_MIRROR_CACHE_SIZE, EXECUTOR_JOB_DISK or EXECUTOR_MAXIMUM_NUM_JOBS.`,
        );
      }
      return `${dataDir}, ${formatBytes(room.freeBytes)} free`;
    },
  };
}

interface Room {
  readonly freeBytes: number;
  /** `null`: the file system has no fixed number of inodes. */
  readonly freeFiles: number | null;
}

async function roomIn(dir: string): Promise<Room> {
  const { bavail, bsize, files, ffree } = await statfs(dir);
  return { freeBytes: bavail * bsize, freeFiles: files === 0 ? null : ffree };
}

async function makeWritable(dir: string): Promise<void> {
  try {
    await mkdir(dir, { recursive: true, mode: 0o711 });
    await access(dir, constants.W_OK | constants.X_OK);
  } catch (cause) {
    throw new AirlockError(`${dir} is not writable`, {
      code: "data-directory-unusable",
      hint: "Make it writable for this user, or set EXECUTOR_DATA_DIR to another directory.",
      cause,
    });
  }
}
