import { randomInt } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import type { ClusterAccess } from "@airlock/test-kit";
import { HostNetwork } from "../../egress/host/host-network.ts";
import { type Agent, startAgent } from "../../egress/testing/agent.ts";
import type { Zones } from "../../egress/testing/agent-messages.ts";
import { startNamespace } from "../../egress/testing/test-network.ts";

/** In no special range, so that a policy treats them as internet addresses. */
export interface ClusterInternet extends AsyncDisposable {
  readonly address: string;
  readonly otherAddress: string;
  /** A process at these addresses, which records what arrives. */
  readonly internet: Agent;
  /** Name server for the executor. */
  readonly upstream: { readonly address: string; readonly port: number };
  readonly names: Agent;
}

export const internetPort = 7_000;

/** Adds two addresses of the internet to the cluster's network, and a name server to this machine's loopback. */
export async function openClusterInternet({ initPid }: ClusterAccess): Promise<ClusterInternet> {
  await using cleanup = new AsyncDisposableStack();
  // Suites that run at the same time share the cluster.
  const part = randomInt(1, 250);
  const addresses = [`45.45.${part}.1`, `45.45.${part}.2`] as const;
  const link = `inet${part}`;
  const node = new HostNetwork(`/proc/${initPid}/ns/net`);
  const { path } = cleanup.use(await startNamespace());
  cleanup.defer(() => node.ip(`link delete ${link}\n`));
  await node.ip(`
link add ${link} type veth peer name up0 netns ${path}
address add 45.46.${part}.1/30 dev ${link}
link set ${link} up
route add 45.45.${part}.0/24 via 45.46.${part}.2
`);
  await new HostNetwork(path).ip(`
link set lo up
${addresses.map((address) => `address add ${address}/32 dev lo\n`).join("")}
address add 45.46.${part}.2/30 dev up0
link set up0 up
route add default via 45.46.${part}.1
`);
  const internet = cleanup.use(await startAgent(path));
  const udp = addresses.flatMap((address) => [53, 443, internetPort].map((port) => ({ address, port })));
  await internet.ask({ op: "serve", tcp: [53, 443, 853, internetPort], udp });
  const names = cleanup.use(await startAgent("/proc/self/ns/net"));
  const [address, otherAddress] = addresses;
  const upstream = { address: `127.53.${part}.1`, port: 53 };
  const owned = cleanup.move();
  return { address, otherAddress, internet, names, upstream, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

/** Starts the name server of a suite. */
export async function serveZones({ names, upstream }: ClusterInternet, zones: Zones): Promise<void> {
  await names.ask({ op: "name-server", address: upstream.address, zones });
}

/** A process in the network of a pod, of which one process has this text in its command line. */
export async function startAgentInPod(marker: string): Promise<Agent> {
  for (const pid of await readdir("/proc")) {
    if (!/^\d+$/.test(pid)) continue;
    const command = await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "");
    if (command.split("\0").includes(marker)) return await startAgent(`/proc/${pid}/ns/net`);
  }
  throw new Error(`no process has ${marker} in its command line`);
}
