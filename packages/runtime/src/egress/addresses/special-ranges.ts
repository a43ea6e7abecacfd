import { type IpRange, includes, overlaps, parseRange } from "./ip-range.ts";

/**
 * IPv4 addresses that are not on the internet. Contains IANA's special-purpose registries completely, including the few
 * ranges that are routed globally (AS112, AMT, …). No job needs those, and exceptions would make the list harder to
 * verify.
 * https://www.iana.org/assignments/iana-ipv4-special-registry
 * https://www.iana.org/assignments/iana-ipv6-special-registry
 */
const specialIpv4 = [
  "0.0.0.0/8",
  "10.0.0.0/8",
  "100.64.0.0/10",
  "127.0.0.0/8",
  "169.254.0.0/16",
  "172.16.0.0/12",
  "192.0.0.0/24",
  "192.0.2.0/24",
  "192.31.196.0/24",
  "192.52.193.0/24",
  "192.88.99.0/24",
  "192.168.0.0/16",
  "192.175.48.0/24",
  "198.18.0.0/15",
  "198.51.100.0/24",
  "203.0.113.0/24",
  "224.0.0.0/4",
  "240.0.0.0/4",
  // Azure's host agent ("wire server"). A public address that always means the host of this virtual machine.
  "168.63.129.16/32",
];

/**
 * Everything outside of global unicast (2000::/3): loopback, IPv4-mapped, NAT64 (64:ff9b::/96, 64:ff9b:1::/48),
 * discard-only, ULA, link-local, multicast and unallocated ranges. Also the parts of global unicast that embed IPv4
 * addresses (Teredo in 2001::/23, 6to4) or are not on the internet.
 */
const specialIpv6 = [
  "::/3",
  "4000::/2",
  "8000::/1",
  "2001::/23",
  "2001:db8::/32",
  "2002::/16",
  "2620:4f:8000::/48",
  "3fff::/20",
];

/**
 * Addresses that even allow rules can't open: the host's loopback, link-local and multicast addresses, clouds' metadata
 * services, and all forms that another machine would translate to IPv4.
 */
const forbiddenIpv4 = [
  "0.0.0.0/8",
  "127.0.0.0/8",
  "169.254.0.0/16",
  "224.0.0.0/4",
  "240.0.0.0/4",
  "168.63.129.16/32", // Azure
  "100.100.100.200/32", // Alibaba Cloud
  "192.0.0.192/32", // Oracle Cloud
];
const forbiddenIpv6 = [
  "::/3",
  "4000::/2",
  // All of 8000::/1 except fc00::/7, which an allow rule may name.
  "8000::/2",
  "c000::/3",
  "e000::/4",
  "f000::/5",
  "f800::/6",
  "fe00::/7",
  "2001::/32", // Teredo
  "2002::/16", // 6to4
  "fd00:ec2::/32", // AWS
  "fd20:ce::254/128", // Google Cloud
];

/** Closed under the policy `public`, and to names under the policy `allow`. */
export const specialRanges: readonly IpRange[] = [...specialIpv4, ...specialIpv6].map(parseRange);

/** Closed under every policy. */
export const forbiddenRanges: readonly IpRange[] = [...forbiddenIpv4, ...forbiddenIpv6].map(parseRange);

/** Whether an address, or any address of a range, lies in one of `ranges`. */
export function touches(ranges: readonly IpRange[], range: IpRange): boolean {
  return ranges.some((each) => overlaps(each, range));
}

/** Whether one of `ranges` holds all of it. */
export function liesIn(ranges: readonly IpRange[], range: IpRange): boolean {
  return ranges.some((each) => includes(each, range));
}
