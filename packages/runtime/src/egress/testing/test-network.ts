import { spawn } from "node:child_process";
import { once } from "node:events";
import { readlink } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { HostNetwork } from "../host/host-network.ts";
import { runTool } from "../host/run-tool.ts";
import { type Agent, startAgent } from "./agent.ts";

/**
 * A network for tests: a host and the internet, each in a network namespace. The internet's end accepts every address
 * as its own, so that it answers and records whatever a sandbox gets past the host. Nothing is connected to the
 * machine's network, and everything disappears with the namespaces' first processes.
 *
 * sandboxes ── host (192.168.77.2, fd99::2; 10.200.0.1 on the side) ── internet (192.168.77.1, fd99::1)
 */
export interface TestNetwork extends AsyncDisposable {
  /** Path of the namespace in which the engine works. */
  readonly hostPath: string;
  /** Path of the internet's namespace. */
  readonly internetPath: string;
  readonly host: Agent;
  readonly internet: Agent;
  /** Runs a command in the host's namespace. */
  onHost(...command: readonly string[]): Promise<string>;
}

/** In no special range, so that a policy treats them as internet addresses. Tests never contact their real owners. */
export const publicIpv4 = "45.45.45.45";
export const otherPublicIpv4 = "46.46.46.46";
/** Address of an instance that is reached over the internet. */
export const instanceIpv4 = "47.47.47.47";
export const publicIpv6 = "2a00:1450::45";
export const nameServer = "192.168.77.1";
const sideAddress = "10.200.0.1";
const hostAddresses = ["192.168.77.2", sideAddress, "fd99::2"] as const;
export const echoPort = 7000;

export async function startTestNetwork(options: { readonly hostPath?: string } = {}): Promise<TestNetwork> {
  await using cleanup = new AsyncDisposableStack();
  const hostPath = options.hostPath ?? cleanup.use(await startNamespace()).path;
  const internetPath = cleanup.use(await startNamespace()).path;
  const host = new HostNetwork(hostPath);
  const internet = new HostNetwork(internetPath);
  const cable = "tn0";
  // The kernel removes the routes with the link.
  cleanup.defer(() => host.ip(`link delete ${cable}\naddress delete ${sideAddress}/32 dev lo\n`));

  await host.ip(`
link set lo up
address add ${sideAddress}/32 dev lo
link add ${cable} type veth peer name up0 netns ${internetPath}
address add 192.168.77.2/24 dev ${cable}
address add fd99::2/64 dev ${cable} nodad
link set ${cable} up
`);
  await internet.ip(`
link set lo up
address add 192.168.77.1/24 dev up0
address add fd99::1/64 dev up0 nodad
link set up0 up
route add local 0.0.0.0/0 dev lo table main
route add local ::/0 dev lo table main
`);
  await host.ip("route add default via 192.168.77.1\nroute add default via fd99::1\n");
  // Accept packets from any address, as the internet does.
  await internet.writeSysctls({
    "ipv4/conf/all/rp_filter": "0",
    "ipv4/conf/up0/rp_filter": "0",
    "ipv6/ip_nonlocal_bind": "1",
  });

  const agents = await Promise.all([startAgent(hostPath), startAgent(internetPath)]);
  for (const agent of agents) cleanup.use(agent);
  const [hostAgent, internetAgent] = agents;
  const udp = [publicIpv4, otherPublicIpv4, publicIpv6, "10.99.0.2", "169.254.169.254"].flatMap((address) =>
    [echoPort, 443, 853].map((port) => ({ address, port })),
  );
  await internetAgent.ask({ op: "serve", tcp: [22, 53, 80, 443, 853, 5432, echoPort], udp });
  await hostAgent.ask({
    op: "serve",
    tcp: [80, 9100],
    udp: hostAddresses.map((address) => ({ address, port: echoPort })),
  });
  const owned = cleanup.move();
  return {
    hostPath,
    internetPath,
    host: hostAgent,
    internet: internetAgent,
    onHost: (...command) => runTool(host.command(...command)),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/**
 * A sandbox without any policy: a namespace behind the host, with forwarding and translation. If a real sandbox is
 * rejected and this one is not, then the policy rejected it.
 */
export async function startUncontrolledSandbox(
  network: TestNetwork,
): Promise<Agent & { readonly path: string; readonly gateway: string }> {
  await using cleanup = new AsyncDisposableStack();
  const { path } = cleanup.use(await startNamespace());
  const host = new HostNetwork(network.hostPath);
  const gateway = "172.29.0.1";
  await host.ip(`
link add open0 type veth peer name eth0 netns ${path}
address add ${gateway}/24 dev open0
address add fd98::1/64 dev open0 nodad
link set open0 up
`);
  cleanup.defer(() => host.ip("link delete open0\n"));
  await new HostNetwork(path).ip(`
link set lo up
address add 172.29.0.2/24 dev eth0
address add fd98::2/64 dev eth0 nodad
link set eth0 up
route add default via ${gateway}
route add default via fd98::1
`);
  await host.writeSysctls({ "ipv4/ip_forward": "1", "ipv6/conf/all/forwarding": "1" });
  await host.nft(`
table inet open {
  chain postrouting {
    type nat hook postrouting priority srcnat; policy accept;
    oifname "tn0" masquerade
  }
}
`);
  // `add` first, because a test may have flushed the table.
  cleanup.defer(() => host.nft("add table inet open\ndelete table inet open\n"));
  const agent = cleanup.use(await startAgent(path));
  const owned = cleanup.move();
  return { ...agent, path, gateway, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

/** Ends when its stdin ends, however this process ends. */
const holder = ["unshare", "--net", "cat"] as const;

/** Creates a network namespace that exists as long as a child process. */
export async function startNamespace(): Promise<{ readonly path: string } & AsyncDisposable> {
  const [file, ...args] = holder;
  const child = spawn(file, args, { stdio: ["pipe", "ignore", "inherit"] });
  child.stdin.on("error", () => {});
  const exited = once(child, "exit");
  await once(child, "spawn");
  const path = `/proc/${child.pid}/ns/net`;
  const ours = await readlink("/proc/self/ns/net");
  while ((await readlink(path)) === ours) {
    if (child.exitCode !== null) throw new Error("no network namespace can be made");
    await sleep(5);
  }
  return {
    path,
    async [Symbol.asyncDispose]() {
      child.stdin.end();
      await exited;
    },
  };
}
