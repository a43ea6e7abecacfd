import { randomBytes } from "node:crypto";
import { mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { DatabaseSync } from "node:sqlite";
import { AirlockError, isNoSpace } from "@airlock/job";
import { lockDirectory } from "./lock-directory.ts";

/** The executor's data directory. One process at a time holds it. */
export interface DataDirectory extends Disposable {
  /** Stable over restarts. Names everything that this executor creates, so that a later run can collect it. */
  readonly owner: string;
  /** The executor's working directories for jobs. */
  readonly jobsDir: string;
  readonly repositoriesDir: string;
  readonly trashDir: string;
  /** Records of the running attempts, see `HeldJobs`. */
  readonly heldJobsDir: string;
  /** For logs that wait for the instance. Its files are unlinked at once, so that none outlives its process. */
  readonly spoolDir: string;
  /** For the runtime's images, sandboxes and workspaces. */
  readonly runtimeDir: string;
  /** Home directory of host commands. Stays empty. */
  readonly homeDir: string;
  /** The executor tests here whether overlay mounts work. */
  readonly probeDir: string;
}

/** @throws {AirlockError} code `data-directory-in-use`, `data-directory-full` or `data-directory-unusable`. */
export async function openDataDirectory(dir: string): Promise<DataDirectory> {
  await mkdir(dir, { recursive: true, mode: 0o711 }).catch((cause: unknown) => {
    throw unusable(dir, cause);
  });
  const lock = takeLock(dir);
  try {
    const homeDir = join(dir, "home");
    await mkdir(homeDir, { recursive: true, mode: 0o500 });
    return {
      owner: await readOwner(join(dir, "executor-id")),
      jobsDir: join(dir, "jobs"),
      repositoriesDir: join(dir, "repositories"),
      trashDir: join(dir, "trash"),
      heldJobsDir: join(dir, "held-jobs"),
      spoolDir: await emptied(join(dir, "spool")),
      runtimeDir: join(dir, "runtime"),
      homeDir,
      probeDir: join(dir, "probe"),
      [Symbol.dispose]: () => lock.close(),
    };
  } catch (error) {
    lock.close();
    throw error instanceof AirlockError ? error : unusable(dir, error);
  }
}

/** Empties a directory. A process may have been killed between creating a file and unlinking it. */
async function emptied(dir: string): Promise<string> {
  await rm(dir, { recursive: true, force: true });
  return dir;
}

/** Locks the data directory. */
function takeLock(dir: string): DatabaseSync {
  let lock: DatabaseSync | null;
  try {
    lock = lockDirectory(dir);
  } catch (cause) {
    throw unusable(dir, cause);
  }
  if (lock) return lock;
  throw new AirlockError(`the data directory ${dir} is in use by another executor`, {
    code: "data-directory-in-use",
    hint: "Give each executor its own EXECUTOR_DATA_DIR, or run more jobs in one executor with EXECUTOR_MAXIMUM_NUM_JOBS.",
  });
}

async function readOwner(file: string): Promise<string> {
  const known = await readFile(file, "utf8").catch(() => "");
  if (/^executor-[0-9a-f]{12}$/.test(known.trim())) return known.trim();
  const owner = `executor-${randomBytes(6).toString("hex")}`;
  await writeFile(`${file}.tmp`, `${owner}\n`);
  await rename(`${file}.tmp`, file);
  return owner;
}

function unusable(dir: string, cause: unknown): AirlockError {
  if (isNoSpace(cause)) {
    return new AirlockError(`no space left on the disk of the data directory ${dir}`, {
      code: "data-directory-full",
      hint: "Free some space on that disk, or set EXECUTOR_DATA_DIR to a directory on another one.",
      cause,
    });
  }
  return new AirlockError(`the data directory ${dir} cannot be used`, {
    code: "data-directory-unusable",
    hint: "Make it writable for this user, or set EXECUTOR_DATA_DIR to another directory.",
    cause,
  });
}
