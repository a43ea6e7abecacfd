import { createHash } from "node:crypto";
import { closeSync, mkdirSync, openSync } from "node:fs";
import { hostname } from "node:os";
import { dirname, join } from "node:path";
import { runtimeFailed } from "../contract/index.ts";
import { idsLockFile } from "../host/id-ranges.ts";
import { loadSystemCalls } from "../host/system-calls.ts";

/** The name of an owner of machines that no other process of this machine has until it is disposed of. */
export interface HeldOwner extends Disposable {
  readonly owner: string;
}

/** More processes than boot guests for a check at once. */
const maxOwners = 64;

const lockFile = join(dirname(idsLockFile), "probe-owners");

/**
 * Takes an owner for machines that only find out what works. Processes that run at once get different ones. What a
 * killed process left belongs to an owner that a later process gets, and can then be collected. Needs root.
 * @throws {AirlockError} reason `runtime` when all are in use.
 */
export async function takeProbeOwner(): Promise<HeldOwner> {
  const calls = await loadSystemCalls();
  if ("problem" in calls) throw runtimeFailed(calls.problem);
  mkdirSync(dirname(lockFile), { recursive: true, mode: 0o700 });
  const descriptor = openSync(lockFile, "a", 0o600);
  try {
    // Containers may share cgroups, but not this file.
    const place = createHash("sha256").update(hostname()).digest("hex").slice(0, 12);
    for (let base = 0; base < maxOwners; base += 1) {
      if (!calls.lockIds(descriptor, { base, size: 1 })) continue;
      return { owner: `probe-${place}-${base}`, [Symbol.dispose]: () => closeSync(descriptor) };
    }
  } catch (error) {
    closeSync(descriptor);
    throw error;
  }
  closeSync(descriptor);
  throw runtimeFailed(`${maxOwners} processes check virtual machines at once`);
}
