import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { outputOf } from "@airlock/process";
import type { Abortable, Collected } from "../contract/index.ts";
import type { EgressEngine } from "../egress/index.ts";
import { Removals } from "../ending/removals.ts";
import type { CgroupHost } from "../host/cgroups/cgroup-host.ts";
import { endCgroup } from "../host/cgroups/end-cgroup.ts";
import { errorCode } from "../host/error-code.ts";
import { readMounts } from "../host/mounts.ts";
import { removeTree } from "../host/remove-tree.ts";
import type { HostWorkspaces } from "../host-disk/host-workspaces.ts";
import { endMarkedLauncher } from "./launcher-mark.ts";

/**
 * Stops and removes what an owner's sandboxes left behind. A sandbox consists of its cgroup, its directory and the
 * mounts below it. The names of the cgroup and of the directory contain the owner and the sandbox. Mount namespaces
 * disappear with their last process.
 */
export async function collectSandboxes(
  {
    sandboxesDirectory,
    cgroupHost,
    workspaces,
  }: {
    readonly sandboxesDirectory: string;
    readonly cgroupHost: CgroupHost;
    readonly workspaces: HostWorkspaces;
  },
  egress: EgressEngine,
  { owner, keep, signal }: Abortable & { readonly owner: string; readonly keep: ReadonlySet<string> },
): Promise<Collected> {
  const ownersDirectory = join(sandboxesDirectory, owner);
  const found = new Set([...(await cgroupHost.list(owner)), ...(await listDirectory(ownersDirectory))]);
  const removals = new Removals(signal);
  /** A sandbox that may still run keeps its workspace and its network. */
  const kept = new Set(keep);
  let sandboxes = 0;
  for (const sandbox of found) {
    if (keep.has(sandbox)) continue;
    const isRemoved = await removals.attempt(async () => {
      const cgroup = cgroupHost.open(owner, sandbox);
      const processes = await cgroup.processes();
      await endCgroup(cgroup);
      const directory = join(ownersDirectory, sandbox);
      if (cgroupHost.mode === "none") await endSteps(join(directory, "steps"));
      for (const mount of [...(await readMounts())].reverse()) {
        if (mount.path === directory || mount.path.startsWith(`${directory}/`))
          await outputOf(["umount", "-l", mount.path]);
      }
      await removeTree(directory);
      return [`sandbox ${sandbox}: ${processes.size} processes ended, cgroup and directory removed`];
    });
    if (isRemoved) sandboxes += 1;
    else kept.add(sandbox);
  }
  await removals.attempt(() => workspaces.collect(owner, kept, { signal }));
  // Networks come last, when nothing uses them any more.
  await removals.attempt(() => egress.collect({ keep: kept, signal }));
  return removals.result(sandboxes, `sandboxes of ${owner}`);
}

/** Where no cgroup tells what belongs to a sandbox, what its steps noted does. */
async function endSteps(stepsDirectory: string): Promise<void> {
  for (const step of await listDirectory(stepsDirectory)) await endMarkedLauncher(join(stepsDirectory, step));
}

async function listDirectory(path: string): Promise<readonly string[]> {
  try {
    return await readdir(path);
  } catch (error) {
    if (errorCode(error) === "ENOENT") return [];
    throw error;
  }
}
