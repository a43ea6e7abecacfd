import { parseRange } from "../addresses/ip-range.ts";
import { hostMac, inside, type SandboxLink, sandboxMac } from "../host/sandbox-link.ts";
import { icmp, icmpv6, tcp, udp } from "./set-names.ts";

/** Name of the tap in the namespace of its sandbox. */
export const guestTap = "tap0";
/** Addresses on the guest's link. They are the same in all guests, so that a copy of a guest fits any sandbox. */
export const guestMac = "02:00:00:00:00:01";
export const gatewayMac = "02:00:00:00:00:02";

const table = "netdev guest";

/**
 * Rules between the guest's tap and its link.
 *
 * - Sources are the sandbox's addresses only. Ethernet addresses are replaced, and frames with a VLAN tag have another
 *   type.
 * - ARP and neighbour discovery don't pass, in either direction: both sides have permanent entries. Otherwise a guest
 *   could fill the host's neighbour tables, or pose as a router.
 * - No fragments, no IPv4 options and no IPv6 extension headers: the host's kernel would handle them before its rules,
 *   and reassembly has memory that all sandboxes share. `meta l4proto` is unknown in a packet that is cut off.
 * - An ICMP error must be about a packet to the sandbox, or it could belong to the connection of another sandbox.
 */
export function guestRuleset({ block, hasIpv6 }: SandboxLink): string {
  const { address, ipv6 } = block;
  return `
table ${table} {
  chain to_link {
    ether saddr set ${sandboxMac(block)} ether daddr set ${hostMac(block)} fwd to "${inside}"
  }
  chain from_ipv4 {
    meta l4proto { ${tcp}, ${udp} } goto to_link
    meta l4proto ${icmp} icmp type { echo-request, echo-reply } goto to_link
    meta l4proto ${icmp} icmp type { destination-unreachable, time-exceeded, parameter-problem } @th,192,32 ${hex(address)} goto to_link
  }
  chain from_ipv6 {
    ip6 nexthdr { ${tcp}, ${udp} } meta l4proto { ${tcp}, ${udp} } goto to_link
    ip6 nexthdr ${icmpv6} icmpv6 type { echo-request, echo-reply } goto to_link
    ip6 nexthdr ${icmpv6} icmpv6 type { destination-unreachable, packet-too-big, time-exceeded, parameter-problem } @th,256,128 ${hex(ipv6.address)} goto to_link
  }
  chain from_guest {
    type filter hook ingress device "${guestTap}" priority filter; policy drop;
    ether type ip ip saddr ${address} ip hdrlength 5 ip frag-off & 0x3fff == 0 goto from_ipv4
    ${hasIpv6 ? `ether type ip6 ip6 saddr ${ipv6.address} goto from_ipv6` : ""}
  }
  chain to_tap {
    ether saddr set ${gatewayMac} ether daddr set ${guestMac} fwd to "${guestTap}"
  }
  chain to_guest {
    type filter hook ingress device "${inside}" priority filter; policy drop;
    ether type ip ip daddr ${address} goto to_tap
    ${hasIpv6 ? `ether type ip6 ip6 daddr ${ipv6.address} goto to_tap` : ""}
  }
}
`;
}

function hex(address: string): string {
  const { family, first } = parseRange(address);
  return `0x${first.toString(16).padStart(family === 4 ? 8 : 32, "0")}`;
}
