import { readdir } from "node:fs/promises";
import { join } from "node:path";
import type { Abortable, Collected } from "../contract/index.ts";
import { Removals } from "../ending/removals.ts";
import type { CgroupHost } from "../host/cgroups/cgroup-host.ts";
import { endCgroup } from "../host/cgroups/end-cgroup.ts";
import { errorCode } from "../host/error-code.ts";
import { removeTree } from "../host/remove-tree.ts";

export interface MachineCollection extends Abortable {
  readonly owner: string;
  /** Ids of machines that stay. Asked after each look at this host, because jobs start meanwhile. */
  readonly keep: () => ReadonlySet<string>;
  readonly cgroupHost: CgroupHost;
  /** The owner's directory, which has one for each machine. */
  readonly directory: string;
  /** Name of a machine's directory. */
  readonly nameOf: (id: string) => string;
  /** Removes the networks of machines that are gone. Returns one sentence for each. */
  readonly collectNetworks: () => Promise<readonly string[]>;
}

/**
 * Ends an owner's machines and removes what they left, as `Runtime.collect` does: processes, cgroups, directories,
 * networks. A machine's cgroup and directory are found by their names.
 */
export async function collectMachines(collection: MachineCollection): Promise<Collected> {
  const { owner, keep, cgroupHost, directory, nameOf, signal } = collection;
  const removals = new Removals(signal);
  const listed = [...(await cgroupHost.list(owner))];
  const kept = keep();
  const ids = listed.filter((id) => !kept.has(id));
  for (const id of ids) {
    await removals.attempt(async () => {
      await endCgroup(cgroupHost.open(owner, id));
      return [`virtual machine ${id}: ended, cgroup removed`];
    });
  }
  const names = await listDirectory(directory);
  const keptNames = new Set([...keep()].map(nameOf));
  for (const name of names) {
    if (keptNames.has(name)) continue;
    await removals.attempt(async () => {
      // A guest that has broken out of its monitor may have filled it with anything.
      await removeTree(join(directory, name));
      return [`the directory ${name} of a virtual machine: removed`];
    });
  }
  // Networks come last, when nothing uses them any more.
  await removals.attempt(collection.collectNetworks);
  return removals.result(ids.length, `virtual machines of ${owner}`);
}

async function listDirectory(path: string): Promise<readonly string[]> {
  try {
    return await readdir(path);
  } catch (error) {
    if (errorCode(error) === "ENOENT") return [];
    throw error;
  }
}
