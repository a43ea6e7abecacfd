import { closeSync } from "node:fs";
import { type Abortable, type NetworkTraffic, noTraffic, runtimeFailed, type SandboxPlan } from "../contract/index.ts";
import { HostNetwork } from "../egress/host/host-network.ts";
import { type Bandwidth, type EgressEngines, type GuestAttachment, guestMac, guestTap } from "../egress/index.ts";
import type { NetworkCalls } from "../host/network-calls.ts";
import type { GuestNetwork } from "./guest/guest-agent.ts";
import type { VmNetwork } from "./monitor/vm-monitor.ts";

/** The network of one virtual machine and its steps. */
export interface SandboxNetwork extends AsyncDisposable {
  /** `null`: the machine has no network device. */
  readonly device: VmNetwork | null;
  /** What the guest's agent is told. `null`: without a device. */
  readonly guest: GuestNetwork | null;
  /** Text of the sandbox's `/etc/resolv.conf`. */
  readonly resolvConf: string;
  /** Reports what the policy denied so far. */
  reportDenied(): Promise<void>;
  /** What passed so far. `undefined`: this process can't see the interface. */
  traffic(): NetworkTraffic | undefined;
}

export interface NetworkWays {
  readonly engines: EgressEngines;
  readonly bandwidth: Bandwidth;
  /** The device of a machine that runs already, from {@link openUnconnectedTap}. Default: a new one. */
  readonly tap?: VmNetwork | null;
}

/** @throws {AirlockError} reason `policy` when the egress policy can't be enforced. */
export async function openNetwork(
  { id, owner, egress, onEgressDenied }: SandboxPlan,
  { engines, bandwidth, tap: unconnectedTap }: NetworkWays,
  { signal }: Abortable,
): Promise<SandboxNetwork> {
  if (egress.kind === "none") return unconnected;
  const attachment = await engines.for(owner).attachGuest({
    sandboxId: id,
    policy: egress,
    onDenied: (denial) => onEgressDenied?.(denial),
    bandwidth,
    ...(unconnectedTap ? { namespacePath: unconnectedTap.namespace } : {}),
    signal,
  });
  const { namespacePath, tap, macAddress, resolvConf } = attachment;
  return {
    device: { namespace: namespacePath, tap, macAddress },
    guest: guestNetworkOf(attachment),
    resolvConf,
    reportDenied: () => attachment.reportDenied(),
    traffic: () => attachment.traffic(),
    [Symbol.asyncDispose]: () => attachment[Symbol.asyncDispose](),
  };
}

/**
 * A tap that leads nowhere, for a machine that has no job yet. It is alone in a namespace without addresses. The kernel
 * removes both when nothing has them open.
 */
export async function openUnconnectedTap(
  calls: NetworkCalls | { readonly problem: string },
): Promise<VmNetwork & Disposable> {
  if ("problem" in calls) throw runtimeFailed(calls.problem);
  const descriptor = calls.createLoopback();
  try {
    const namespace = `/proc/${process.pid}/fd/${descriptor}`;
    await new HostNetwork(namespace).ip(
      `tuntap add dev ${guestTap} mode tap\nlink set ${guestTap} addrgenmode none\nlink set ${guestTap} up\n`,
    );
    return { namespace, tap: guestTap, macAddress: guestMac, [Symbol.dispose]: () => closeSync(descriptor) };
  } catch (error) {
    closeSync(descriptor);
    throw error;
  }
}

/** Each link has two ends, so the guest has no neighbour but its gateway. */
function guestNetworkOf({
  mtu,
  gatewayMac,
  address,
  gateway,
  ipv6Address,
  ipv6Gateway,
}: GuestAttachment): GuestNetwork {
  const ipv4 = { address, prefixLength: 32, gateway };
  if (ipv6Address === null || ipv6Gateway === null) return { mtu, gatewayMac, addresses: [ipv4] };
  return { mtu, gatewayMac, addresses: [ipv4, { address: ipv6Address, prefixLength: 128, gateway: ipv6Gateway }] };
}

const unconnected: SandboxNetwork = {
  device: null,
  guest: null,
  resolvConf: "",
  reportDenied: async () => {},
  traffic: () => noTraffic,
  [Symbol.asyncDispose]: async () => {},
};
