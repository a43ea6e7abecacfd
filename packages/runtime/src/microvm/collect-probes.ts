import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import type { Abortable } from "../contract/index.ts";
import type { CgroupHost } from "../host/cgroups/cgroup-host.ts";
import { errorCode } from "../host/error-code.ts";
import { collectMachines } from "./collect-machines.ts";
import { takeFreeOwners } from "./probe-owner.ts";
import { shortName } from "./short-name.ts";

/**
 * Removes the machines of processes that were killed while they found out what works here.
 * @param options.own The owner that this process has taken for its own check.
 */
export async function collectProbes(
  stateDir: string,
  { cgroupHost, own, signal }: { readonly cgroupHost: CgroupHost; readonly own: string } & Abortable,
): Promise<void> {
  const vms = join(stateDir, "vms");
  const names = new Set(await listDirectory(vms));
  using free = await takeFreeOwners((owner) => names.has(shortName(owner)));
  for (const owner of [own, ...free.owners]) {
    const directory = join(vms, shortName(owner));
    const left = { cgroupHost, owner, directory, keep: () => new Set<string>(), signal };
    await collectMachines({ ...left, nameOf: shortName, collectNetworks: async () => [] });
    await rm(directory, { recursive: true, force: true });
  }
}

async function listDirectory(path: string): Promise<readonly string[]> {
  try {
    return await readdir(path);
  } catch (error) {
    if (errorCode(error) === "ENOENT") return [];
    throw error;
  }
}
