import type { AddressBlock } from "../addresses/address-pool.ts";
import { formatRange } from "../addresses/ip-range.ts";
import type { HostNetwork } from "./host-network.ts";

/** The virtual link (veth pair) between the host and one sandbox. */
export interface SandboxLink {
  readonly interfaceName: string;
  /** Names the sandbox, so that its link can be found after a crash. */
  readonly alias: string;
  readonly namespacePath: string;
  readonly block: AddressBlock;
  readonly mtu: number;
  readonly hasIpv6: boolean;
}

/** Interface name of the sandbox's end. */
export const inside = "eth0";

/**
 * Commands for `ip -batch` on the host's side. Sandboxes share nothing: each link has two ends, and its only route is
 * the sandbox's own address. `route add` fails when that route exists. So two executors that picked the same block at
 * the same moment don't both get it. The kernel generates no addresses (`addrgenmode none`).
 */
export function hostEndCommands(link: SandboxLink): string {
  const { interfaceName: name, block, mtu } = link;
  return lines([
    `link add ${name} mtu ${mtu} address ${hostMac(block)} type veth peer name ${inside} mtu ${mtu} address ${sandboxMac(block)} netns ${link.namespacePath}`,
    `link set ${name} alias ${link.alias}`,
    `link set ${name} addrgenmode none`,
    `link set ${name} up`,
    `address add ${block.gateway}/32 dev ${name}`,
    `route add ${block.address}/32 dev ${name}`,
    // A permanent entry, so that no packet waits for ARP, and no ARP answer is trusted.
    `neighbour replace ${block.address} lladdr ${sandboxMac(block)} dev ${name} nud permanent`,
    ...(link.hasIpv6
      ? [
          `address add ${block.ipv6.gateway}/128 dev ${name} nodad`,
          `route add ${formatRange(block.ipv6.subnet)} dev ${name}`,
          `neighbour replace ${block.ipv6.address} lladdr ${sandboxMac(block)} dev ${name} nud permanent`,
        ]
      : []),
  ]);
}

/**
 * Commands for `ip -batch` in the sandbox's namespace. Without IPv6 on the host, only the loopback interface has IPv6.
 */
export function sandboxEndCommands({ block, hasIpv6 }: SandboxLink): string {
  return lines([
    "link set lo up",
    `link set ${inside} addrgenmode none`,
    `link set ${inside} up`,
    `address add ${block.address}/32 dev ${inside}`,
    `neighbour replace ${block.gateway} lladdr ${hostMac(block)} dev ${inside} nud permanent`,
    `route add ${block.gateway}/32 dev ${inside}`,
    `route add default via ${block.gateway} dev ${inside}`,
    ...(hasIpv6
      ? [
          `address add ${block.ipv6.address}/128 dev ${inside} nodad`,
          `neighbour replace ${block.ipv6.gateway} lladdr ${hostMac(block)} dev ${inside} nud permanent`,
          `route add ${block.ipv6.gateway}/128 dev ${inside}`,
          `route add default via ${block.ipv6.gateway} dev ${inside}`,
        ]
      : []),
  ]);
}

/** Removes a link. Succeeds if the link already disappeared with the sandbox's namespace. */
export async function deleteLink(network: HostNetwork, name: string): Promise<void> {
  try {
    await network.ip(`link delete ${name}\n`);
  } catch (error) {
    const { links } = await network.readState();
    if (links.some((link) => link.name === name)) throw error;
  }
}

/** Locally administered MAC address. */
export function hostMac({ slot }: AddressBlock): string {
  return mac(0x02, slot);
}

export function sandboxMac({ slot }: AddressBlock): string {
  return mac(0x06, slot);
}

function mac(first: number, slot: number): string {
  return [first, 0xa1, 0x0c, (slot >> 16) & 255, (slot >> 8) & 255, slot & 255]
    .map((byte) => byte.toString(16).padStart(2, "0"))
    .join(":");
}

export function lines(commands: readonly string[]): string {
  return commands.map((command) => `${command}\n`).join("");
}
