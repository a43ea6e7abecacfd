import { randomBytes } from "node:crypto";
import { chmod, link, mkdir, readFile, rename, rm, stat } from "node:fs/promises";
import path from "node:path";
import { AirlockError, errorMessage, isNoSpace } from "@airlock/job";
import { z } from "zod";
import { writeFileAtomically } from "./write-file-atomically.ts";

const LockRecord = z.object({ pid: z.int().positive(), startTime: z.string(), bootId: z.string() });
type LockRecord = z.output<typeof LockRecord>;

/** The instance's data directory, locked for this process until it is disposed. */
export class DataDirectory implements AsyncDisposable {
  readonly path: string;
  readonly #lock: string;

  private constructor(directory: string, lock: string) {
    this.path = directory;
    this.#lock = lock;
  }

  /**
   * Creates the directory and takes its lock. The lock names a process by pid and start time, so a killed process holds
   * nothing, even if another process reuses its pid.
   * @throws {AirlockError} `data-directory-in-use`, `data-directory-unusable`.
   */
  static async open(directory: string): Promise<DataDirectory> {
    const absolute = path.resolve(directory);
    const lock = path.join(absolute, "lock");
    try {
      await mkdir(absolute, { recursive: true, mode: 0o700 });
      // PostgreSQL's account must enter the directory but not list it. Each file in it has its own mode.
      if (process.getuid?.() === 0 && (await stat(absolute)).uid === 0) await chmod(absolute, 0o711);
      await takeLock(lock);
    } catch (cause) {
      if (cause instanceof AirlockError) throw cause;
      throw new AirlockError(`cannot use the data directory ${absolute}: ${errorMessage(cause)}`, {
        code: "data-directory-unusable",
        hint: isNoSpace(cause)
          ? "Free space on that disk, or choose another directory with --data-dir or AIRLOCK_DATA_DIR."
          : "Choose another directory with --data-dir or AIRLOCK_DATA_DIR.",
        cause,
      });
    }
    return new DataDirectory(absolute, lock);
  }

  resolve(...names: readonly string[]): string {
    return path.join(this.path, ...names);
  }

  /** Reads the token from the file, which is created on first use. */
  async readOrCreateToken(name: string): Promise<string> {
    const file = this.resolve(name);
    const existing = (await readFile(file, "utf8").catch(() => "")).trim();
    if (existing.length >= 20) return existing;
    const token = randomBytes(24).toString("base64url");
    await writeFileAtomically(file, `${token}\n`, 0o600);
    return token;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.#lock, { force: true });
  }
}

async function takeLock(lock: string): Promise<void> {
  const own = JSON.stringify(await describeProcess(process.pid));
  const claim = `${lock}.${process.pid}.${randomBytes(4).toString("hex")}`;
  await writeFileAtomically(claim, own, 0o600);
  try {
    for (let round = 0; round < 10; round++) {
      try {
        await link(claim, lock); // Atomic: only one of several concurrent starts succeeds.
        return;
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
      }
      const found = await readFile(lock, "utf8").catch(() => "");
      const holder = parseRecord(found);
      if (holder && (await isAlive(holder))) {
        throw new AirlockError(`the data directory ${path.dirname(lock)} is in use by process ${holder.pid}`, {
          code: "data-directory-in-use",
          hint: "Stop that instance, or choose another directory with --data-dir or AIRLOCK_DATA_DIR.",
        });
      }
      await removeStale(lock, found);
    }
    throw new Error("other processes keep taking the lock");
  } finally {
    await rm(claim, { force: true });
  }
}

/** Moves the stale lock away. If another process took the lock meanwhile, puts that lock back. */
async function removeStale(lock: string, expected: string): Promise<void> {
  const aside = `${lock}.stale.${process.pid}`;
  try {
    await rename(lock, aside);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return;
    throw error;
  }
  if ((await readFile(aside, "utf8")) !== expected) await link(aside, lock);
  await rm(aside, { force: true });
}

function parseRecord(text: string): LockRecord | undefined {
  try {
    return LockRecord.parse(JSON.parse(text));
  } catch {
    return undefined; // A full disk truncated the record, or it is not ours: it holds nothing.
  }
}

async function isAlive(holder: LockRecord): Promise<boolean> {
  const current = await describeProcess(holder.pid);
  return current.startTime !== "" && current.startTime === holder.startTime && current.bootId === holder.bootId;
}

/** An empty start time means that the process doesn't exist. */
async function describeProcess(pid: number): Promise<LockRecord> {
  const bootId = (await readFile("/proc/sys/kernel/random/boot_id", "utf8").catch(() => "")).trim();
  const statText = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => null);
  if (statText !== null) {
    // The process name, in parentheses, may contain spaces and parentheses itself. The start time is field 22.
    const startTime = statText.slice(statText.lastIndexOf(")") + 2).split(" ")[19] ?? "";
    return { pid, startTime, bootId };
  }
  return { pid, startTime: bootId === "" && exists(pid) ? "unknown" : "", bootId };
}

/** Fallback for systems without /proc. */
function exists(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}
