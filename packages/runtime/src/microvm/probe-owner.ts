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
 * killed process left belongs to an owner that is free then, see {@link takeFreeOwners}. Needs root.
 * @throws {AirlockError} reason `runtime` when all are in use.
 */
export async function takeProbeOwner(): Promise<HeldOwner> {
  using locks = await openLocks();
  for (let base = 0; base < maxOwners; base += 1) {
    const owner = ownerName(base);
    if (locks.take(base)) return { owner, [Symbol.dispose]: locks.keep() };
  }
  throw runtimeFailed(`${maxOwners} processes check virtual machines at once`);
}

/**
 * Takes the owners that no process has and that `isWanted` selects, so that what a killed process left can be removed.
 * Needs root.
 */
export async function takeFreeOwners(
  isWanted: (owner: string) => boolean,
): Promise<{ readonly owners: readonly string[] } & Disposable> {
  using locks = await openLocks();
  const bases = Array.from({ length: maxOwners }, (_, base) => base);
  const owners = bases.filter((base) => isWanted(ownerName(base)) && locks.take(base)).map(ownerName);
  return { owners, [Symbol.dispose]: locks.keep() };
}

function ownerName(base: number): string {
  // Containers may share cgroups, but not the file with the locks.
  const place = createHash("sha256").update(hostname()).digest("hex").slice(0, 12);
  return `probe-${place}-${base}`;
}

async function openLocks() {
  const calls = await loadSystemCalls();
  if ("problem" in calls) throw runtimeFailed(calls.problem);
  mkdirSync(dirname(lockFile), { recursive: true, mode: 0o700 });
  const opened = new DisposableStack();
  const descriptor = opened.adopt(openSync(lockFile, "a", 0o600), closeSync);
  return {
    take: (base: number) => calls.lockIds(descriptor, { base, size: 1 }),
    /** Keeps the locks until the returned function is called. */
    keep() {
      const kept = opened.move();
      return () => kept.dispose();
    },
    [Symbol.dispose]: () => opened.dispose(),
  };
}
