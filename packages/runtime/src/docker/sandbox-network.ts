import { type Abortable, type NetworkTraffic, noTraffic, type SandboxPlan } from "../contract/index.ts";
import type { EgressEngines } from "../egress/index.ts";
import { ownerLabel, sandboxLabel } from "./container-spec.ts";
import { type EngineClient, EngineError } from "./engine-client.ts";
import { CreatedReply, NetworkListReply } from "./engine-replies.ts";

/** The network of one sandbox's containers. Dispose of it only after the containers are gone. */
export interface SandboxNetwork extends AsyncDisposable {
  /** Network mode of the first container. Those of other images join it. */
  readonly mode: string;
  readonly nameServers: readonly string[];
  /** Reports what the policy has denied so far. */
  reportDenied(): Promise<void>;
  /** What passed so far. `undefined`: this process can't see the interface. */
  traffic(): NetworkTraffic | undefined;
}

/**
 * Opens a bridge for this sandbox alone. Its rules are installed before it exists. The engine's own rules neither
 * translate addresses nor publish ports for it.
 * @throws {AirlockError} reason `policy` when the egress policy can't be enforced.
 */
export async function openNetwork(
  engine: EngineClient,
  { id, owner, egress, onEgressDenied }: SandboxPlan,
  engines: EgressEngines,
  { signal }: Abortable,
): Promise<SandboxNetwork> {
  if (egress.kind === "none") return unconnected;
  await using cleanup = new AsyncDisposableStack();
  const bridge = cleanup.use(
    await engines.for(owner).prepareBridge({
      sandboxId: id,
      policy: egress,
      onDenied: (denial) => onEgressDenied?.(denial),
      signal,
    }),
  );
  const ranges = [{ Subnet: bridge.subnet, Gateway: bridge.gateway }];
  if (bridge.ipv6) ranges.push({ Subnet: bridge.ipv6.subnet, Gateway: bridge.ipv6.gateway });
  const { Id } = await engine.json(CreatedReply, {
    method: "POST",
    path: "/networks/create",
    body: {
      Name: `airlock-${owner}-${id}`,
      Driver: "bridge",
      CheckDuplicate: true,
      EnableIPv6: bridge.ipv6 !== null,
      IPAM: { Driver: "default", Config: ranges },
      Options: {
        "com.docker.network.bridge.name": bridge.bridgeName,
        "com.docker.network.bridge.enable_icc": "false",
        "com.docker.network.bridge.enable_ip_masquerade": "false",
      },
      Labels: { [ownerLabel]: owner, [sandboxLabel]: id },
    },
  });
  cleanup.defer(() => removeNetwork(engine, Id));
  await bridge.activate();
  const owned = cleanup.move();
  return {
    mode: Id,
    nameServers: [bridge.gateway],
    reportDenied: () => bridge.reportDenied(),
    traffic: () => bridge.traffic(),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** Removes a network. Does nothing if it no longer exists. */
export async function removeNetwork(engine: EngineClient, id: string): Promise<void> {
  try {
    await engine.send({ method: "DELETE", path: `/networks/${id}` });
  } catch (error) {
    if (!(error instanceof EngineError && error.status === 404)) throw error;
  }
}

/**
 * Whether the engine creates its bridges in the network namespace of our rules. It does not if it runs in a virtual
 * machine or in its own namespace.
 */
export async function isInReach(engine: EngineClient, engines: EgressEngines, signal: AbortSignal): Promise<boolean> {
  if (!engine.isLocal) return false;
  const query = { filters: JSON.stringify({ driver: ["bridge"] }) };
  const networks = await engine.json(NetworkListReply, { path: "/networks", query, signal });
  const interfaces = await engines.interfaces();
  return networks.some(({ Id, Options }) =>
    interfaces.has(Options?.["com.docker.network.bridge.name"] ?? `br-${Id.slice(0, 12)}`),
  );
}

const unconnected: SandboxNetwork = {
  mode: "none",
  nameServers: [],
  reportDenied: async () => {},
  traffic: () => noTraffic,
  [Symbol.asyncDispose]: async () => {},
};
