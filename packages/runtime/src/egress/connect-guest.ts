import { runtimeFailed } from "../contract/errors.ts";
import { HostNetwork } from "./host/host-network.ts";
import { inside, lines, type SandboxLink } from "./host/sandbox-link.ts";
import { guestRuleset, guestTap } from "./rules/guest-ruleset.ts";

/** Bytes per second. `null`: no limit. */
export interface Bandwidth {
  /** From the network to the guest. */
  readonly ingress: number | null;
  /** From the guest to the network. */
  readonly egress: number | null;
}

/** The largest segment that a guest may hand over at once must fit into a burst. */
const minBurst = 128 * 1024;
const maxBurst = 16 * 2 ** 20;
const burstsPerSecond = 20;
const queueMs = 50;

/**
 * Puts a tap into a sandbox's namespace unless it has one, and connects it with the sandbox's end of its link.
 *
 * Root of a guest can send any frame. The host's rules expect a sandbox without the capabilities NET_ADMIN and NET_RAW.
 * So the rules of this namespace pass only what such a sandbox could send, and everything else reaches no network
 * stack. The namespace has no address. Frames go directly from one device to the other (`fwd`), so nothing is learned
 * from them.
 */
export async function connectGuest(
  link: SandboxLink,
  { bandwidth, hasTap }: { readonly bandwidth: Bandwidth; readonly hasTap: boolean },
): Promise<void> {
  const network = new HostNetwork(link.namespacePath);
  const making = hasTap ? [] : [`tuntap add dev ${guestTap} mode tap`];
  await network.ip(lines([...making, `link set ${guestTap} mtu ${link.mtu}`]));
  await network.nft(guestRuleset(link));
  for (const [device, rate] of [
    [guestTap, bandwidth.ingress],
    [inside, bandwidth.egress],
  ] as const) {
    if (rate !== null) await limitRate(network, device, rate);
  }
  await network.ip(
    lines([guestTap, inside].flatMap((device) => [`link set ${device} addrgenmode none`, `link set ${device} up`])),
  );
}

/** Limits what the device sends. */
async function limitRate(network: HostNetwork, device: string, bytesPerSecond: number): Promise<void> {
  const burst = Math.min(Math.max(Math.ceil(bytesPerSecond / burstsPerSecond), minBurst), maxBurst);
  const shaper = ["tbf", "rate", `${bytesPerSecond}bps`, "burst", String(burst), "latency", `${queueMs}ms`];
  try {
    await network.run("tc", "qdisc", "add", "dev", device, "root", ...shaper);
  } catch (error) {
    const hint = "Load the module sch_tbf, or remove the limits of bandwidth from the settings.";
    throw runtimeFailed("the bandwidth of a virtual machine can't be limited", error, hint);
  }
}
