import type { Abortable, Collected } from "../contract/index.ts";
import type { EgressEngine } from "../egress/index.ts";
import { Removals } from "../ending/removals.ts";
import type { CgroupHost } from "../host/cgroups/cgroup-host.ts";
import { endCgroup } from "../host/cgroups/end-cgroup.ts";
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
  const removals = new Removals(signal);
  /** What has a container or a network that could not be removed keeps its workspace and its rules. */
  const kept = new Set(keep);

  const containers = await engine.json(ContainerListReply, { path: "/containers/json", query, signal });
  for (const { Id, Names, Labels } of containers.filter(isLeft)) {
    const sandbox = Labels?.[sandboxLabel] ?? "";
    const isRemoved = await removals.attempt(async () => {
      await removeContainer(engine, Id);
      return [`removed container ${Names[0]?.replace(/^\//, "") ?? Id}`];
    });
    (isRemoved ? sandboxes : kept).add(sandbox);
  }
  const networks = await engine.json(NetworkListReply, {
    path: "/networks",
    query: { filters: query.filters },
    signal,
  });
  for (const { Id, Name, Labels } of networks.filter(isLeft)) {
    const sandbox = Labels?.[sandboxLabel] ?? "";
    const isRemoved = await removals.attempt(async () => {
      await removeNetwork(engine, Id);
      return [`removed network ${Name}`];
    });
    (isRemoved ? sandboxes : kept).add(sandbox);
  }
  for (const sandbox of (await cgroups?.list(owner)) ?? []) {
    if (keep.has(sandbox)) continue;
    const isRemoved = await removals.attempt(async () => {
      const cgroup = cgroups?.open(owner, sandbox);
      if (cgroup) await endCgroup(cgroup);
      return [`removed cgroup ${sandbox}`];
    });
    (isRemoved ? sandboxes : kept).add(sandbox);
  }
  // Workspaces can only be removed once no container has them mounted.
  await removals.attempt(() => workspaces.collect(owner, kept, { signal }));
  // Last, because a bridge must never exist without its rules.
  await removals.attempt(() => egress.collect({ keep: kept, signal }));
  return removals.result(sandboxes.size, `sandboxes of ${owner}`);
}
