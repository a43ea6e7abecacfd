import { closeSync, openSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { basename, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { runtimeFailed } from "../../contract/errors.ts";
import { errorCode } from "../../host/error-code.ts";
import type { IdRange } from "../../host/id-range.ts";
import { loadSystemCalls, type SystemCalls } from "../../host/system-calls.ts";

/** Stays empty. Its locks tell which files of the directory are in use. */
const lockName = ".in-use";
const manifestNames = ["guest.json", "docker.json"];
/** Kernels, initrds and disks with Docker carry the beginning of their checksum in their name. */
const fileName = /^(?:vmlinux-([0-9a-f]{16})|initrd-([0-9a-f]{16})\.cpio|docker-([0-9a-f]{16})\.ext4)$/;
const digits = 12;
const everything: IdRange = { base: 0, size: 16 ** digits };
/** A removal takes milliseconds, or as long as the file system needs to free some gigabytes. */
const patienceMs = 30_000;

/**
 * Keeps the guest's files of a directory from being removed while a process uses them. The kernel's locks hold them, so
 * they are free when the process has ended, whatever ended it.
 */
export class GuestHold implements Disposable {
  readonly #directory: string;
  readonly #calls: SystemCalls;
  #descriptor: number;

  private constructor(directory: string, calls: SystemCalls, descriptor: number) {
    this.#directory = directory;
    this.#calls = calls;
    this.#descriptor = descriptor;
  }

  /**
   * Holds all files of a directory, also those that are written to it meanwhile.
   * @throws {AirlockError} reason `runtime` when the lock file is unusable.
   */
  static async ofAll(directory: string): Promise<GuestHold> {
    const calls = await loadSystemCalls();
    if ("problem" in calls) throw runtimeFailed(calls.problem);
    const hold = new GuestHold(directory, calls, openLocks(directory));
    try {
      const deadline = Date.now() + patienceMs;
      while (!calls.lockIds(hold.#descriptor, everything, { shared: true })) {
        if (Date.now() > deadline) throw runtimeFailed(`another process removes files of ${directory} for too long`);
        await sleep(5);
      }
      return hold;
    } catch (error) {
      hold[Symbol.dispose]();
      throw error;
    }
  }

  /** Holds only these files from now on. */
  narrow(paths: readonly string[]): void {
    const descriptor = openLocks(this.#directory);
    for (const path of paths) {
      const checksum = checksumIn(basename(path));
      if (checksum === undefined) continue;
      // Succeeds, because the lock of everything excludes removals until it is released.
      this.#calls.lockIds(descriptor, positionOf(checksum), { shared: true });
    }
    closeSync(this.#descriptor);
    this.#descriptor = descriptor;
  }

  /** Removes the files that no manifest names and no process holds. Returns their names. */
  removeUnused(): readonly string[] {
    const removed: string[] = [];
    const descriptor = openLocks(this.#directory);
    try {
      for (const name of readdirSync(this.#directory)) {
        const checksum = checksumIn(name);
        if (checksum === undefined || this.#isCurrent(checksum)) continue;
        if (!this.#calls.lockIds(descriptor, positionOf(checksum))) continue;
        // An installation may have written it again before the lock was taken.
        if (this.#isCurrent(checksum)) continue;
        rmSync(join(this.#directory, name), { force: true });
        removed.push(name);
      }
    } finally {
      closeSync(descriptor);
    }
    return removed;
  }

  [Symbol.dispose](): void {
    if (this.#descriptor >= 0) closeSync(this.#descriptor);
    this.#descriptor = -1;
  }

  /** Looks only for the checksum, because another version may have written the manifest in another form. */
  #isCurrent(checksum: string): boolean {
    return manifestNames.some((name) => readIfThere(join(this.#directory, name)).includes(checksum));
  }
}

function openLocks(directory: string): number {
  const path = join(directory, lockName);
  try {
    return openSync(path, "a+", 0o600);
  } catch (error) {
    throw runtimeFailed(`the file ${path}, which tells which files are in use, can't be opened`, error);
  }
}

function checksumIn(name: string): string | undefined {
  return fileName.exec(name)?.slice(1).find(Boolean);
}

function positionOf(checksum: string): IdRange {
  return { base: Number.parseInt(checksum.slice(0, digits), 16), size: 1 };
}

function readIfThere(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if (errorCode(error) === "ENOENT") return "";
    throw error;
  }
}
