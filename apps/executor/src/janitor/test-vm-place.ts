import { randomBytes } from "node:crypto";
import { mkdir, readdir, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import type { DatabaseSync } from "node:sqlite";
import type { Runtime } from "@airlock/runtime";
import { lockDirectory } from "./lock-directory.ts";

/** A directory that is younger may belong to a process that has not locked it yet. */
const youngMs = 60_000;

/** Directory of all test machines of an executor. */
export const testVmsDir = (dataDir: string): string => join(dataDir, "test-vms");

/** The place of one test machine. Disposing of it removes it. */
export interface TestVmPlace extends AsyncDisposable {
  /** Name of the machine. Names what belongs to it, too. */
  readonly name: string;
  /** The name without the prefix. */
  readonly sandboxId: string;
  readonly dir: string;
}

/** Path of the socket on which the process that holds a machine listens. */
export const socketOf = (dir: string): string => join(dir, "socket");

/** Makes the place of a new machine, and locks it for this process. */
export async function makePlace(dataDir: string, prefix: string): Promise<TestVmPlace> {
  const sandboxId = `test-vm-${randomBytes(4).toString("hex")}`;
  const name = `${prefix}-${sandboxId}`;
  const dir = join(testVmsDir(dataDir), name);
  await mkdir(dir, { recursive: true, mode: 0o700 });
  const lock = lockDirectory(dir);
  if (lock === null) throw new Error(`${dir} is locked by another process`);
  return {
    name,
    sandboxId,
    dir,
    [Symbol.asyncDispose]: async () => {
      await rm(dir, { recursive: true, force: true });
      lock.close();
    },
  };
}

/** Names of the machines that processes hold. */
export async function listTestVms(dataDir: string): Promise<readonly string[]> {
  const names: string[] = [];
  for (const name of await namesIn(dataDir)) {
    const lock = tryLock(join(testVmsDir(dataDir), name));
    if (lock === "held") names.push(name);
    else lock?.close();
  }
  return names;
}

/**
 * Removes what is left of machines whose process was killed. Returns their names. A machine that a process holds is not
 * touched.
 */
export async function collectTestVms(dataDir: string, runtime: Runtime, signal: AbortSignal): Promise<string[]> {
  const removed: string[] = [];
  for (const name of await namesIn(dataDir)) {
    const dir = join(testVmsDir(dataDir), name);
    const found = await stat(dir).catch(() => undefined);
    if (!found || Date.now() - found.mtimeMs < youngMs) continue;
    const lock = tryLock(dir);
    if (lock === "held" || lock === undefined) continue;
    try {
      await runtime.collect({ owner: name, keep: new Set(), signal });
      await rm(dir, { recursive: true, force: true });
      removed.push(name);
    } finally {
      lock.close();
    }
  }
  return removed;
}

async function namesIn(dataDir: string): Promise<readonly string[]> {
  const names = await readdir(testVmsDir(dataDir)).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return [];
    throw error;
  });
  return names.filter((name) => /^[a-z0-9-]{1,40}$/.test(name));
}

/** `undefined`: the directory is gone. */
function tryLock(dir: string): DatabaseSync | "held" | undefined {
  try {
    return lockDirectory(dir) ?? "held";
  } catch (error) {
    if (error instanceof Error && /unable to open/i.test(error.message)) return undefined;
    throw error;
  }
}
