import type { Abortable, Collected } from "../contract/index.ts";
import type { EgressEngine } from "../egress/index.ts";
import type { CgroupHost } from "../host/cgroups/cgroup-host.ts";
import type { HostWorkspaces } from "../host-disk/host-workspaces.ts";
import { ownerLabel, sandboxLabel } from "./container-spec.ts";
import type { EngineClient } from "./engine-client.ts";
import { ContainerListReply, NetworkListReply } from "./engine-replies.ts";
import { removeContainer } from "./made-container.ts";
import { removeNetwork } from "./sandbox-network.ts";

/**
 * Removes what is left of `owner`'s sandboxes that are not in `keep`: containers with their anonymous volumes, then
 * networks and cgroups.
 */
export async function collectSandboxes(
  engine: EngineClient,
  {
    egress,
    cgroups,
    workspaces,
  }: {
    readonly egress: EgressEngine;
    readonly cgroups: CgroupHost | undefined;
    readonly workspaces: HostWorkspaces;
  },
  { owner, keep, signal }: { readonly owner: string; readonly keep: ReadonlySet<string> } & Abortable,
): Promise<Collected> {
  const query = { all: true, filters: JSON.stringify({ label: [`${ownerLabel}=${owner}`] }) };
  const isLeft = ({ Labels }: { readonly Labels?: Readonly<Record<string, string>> | null | undefined }) =>
    !keep.has(Labels?.[sandboxLabel] ?? "");
  const sandboxes = new Set<string>();
  const details: string[] = [];

  const containers = await engine.json(ContainerListReply, { path: "/containers/json", query, signal });
  for (const { Id, Names, Labels } of containers.filter(isLeft)) {
    signal.throwIfAborted();
    await removeContainer(engine, Id);
    sandboxes.add(Labels?.[sandboxLabel] ?? "");
    details.push(`removed container ${Names[0]?.replace(/^\//, "") ?? Id}`);
  }
  const networks = await engine.json(NetworkListReply, {
    path: "/networks",
    query: { filters: query.filters },
    signal,
  });
  for (const { Id, Name, Labels } of networks.filter(isLeft)) {
    signal.throwIfAborted();
    await removeNetwork(engine, Id);
    sandboxes.add(Labels?.[sandboxLabel] ?? "");
    details.push(`removed network ${Name}`);
  }
  for (const sandbox of (await cgroups?.list(owner)) ?? []) {
    if (keep.has(sandbox)) continue;
    signal.throwIfAborted();
    const cgroup = cgroups?.open(owner, sandbox);
    await cgroup?.kill();
    await cgroup?.remove();
    sandboxes.add(sandbox);
    details.push(`removed cgroup ${sandbox}`);
  }
  // Workspaces can only be removed once no container has them mounted.
  details.push(...(await workspaces.collect(owner, keep, { signal })));
  // Last, because a bridge must never exist without its rules.
  details.push(...(await egress.collect({ keep, signal })));
  return { sandboxes: sandboxes.size, details };
}
