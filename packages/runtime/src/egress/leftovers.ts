import { readdir } from "node:fs/promises";
import type { HostNetwork } from "./host/host-network.ts";
import type { OwnerNames } from "./host/names.ts";
import { namespacesDirectory } from "./host/names.ts";
import { deleteLink } from "./host/sandbox-link.ts";

export interface Leftovers {
  readonly names: OwnerNames;
  readonly network: HostNetwork;
  /** Whether a sandbox's links and namespaces must stay. Asked after each look at this host: sandboxes start meanwhile. */
  readonly isKept: (sandbox: string) => boolean;
  readonly signal: AbortSignal;
}

/** Removes the links and namespaces that a dead executor of this owner left. Resolves to one line per removed item. */
export async function removeLeftovers({ names, network, isKept, signal }: Leftovers): Promise<readonly string[]> {
  const removed: string[] = [];
  const { links } = await network.readState();
  for (const link of links) {
    // A container engine removes its bridges together with its networks. The bridges stay closed until then.
    if (!link.name.startsWith(names.interfacePrefix) || link.kind !== "veth") continue;
    const sandbox = link.alias?.replace(/^airlock:/, "") ?? "unknown";
    if (isKept(sandbox)) continue;
    signal.throwIfAborted();
    await deleteLink(network, link.name);
    removed.push(`network link ${link.name} of sandbox ${sandbox}`);
  }
  for (const name of await listNamespaces()) {
    const sandbox = name.slice(names.namespacePrefix.length);
    if (!name.startsWith(names.namespacePrefix) || isKept(sandbox)) continue;
    signal.throwIfAborted();
    await network.ip(`netns delete ${name}\n`);
    removed.push(`network namespace ${name}`);
  }
  return removed;
}

async function listNamespaces(): Promise<readonly string[]> {
  try {
    return await readdir(namespacesDirectory);
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return [];
    throw error;
  }
}
