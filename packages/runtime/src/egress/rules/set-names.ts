import type { EgressLimit } from "../../contract/index.ts";
import type { IpFamily } from "../addresses/ip-range.ts";

// Protocol numbers, because nft looks up names in /etc/protocols, which a minimal system does not have.
export const tcp = 6;
export const udp = 17;
export const icmp = 1;
export const icmpv6 = 58;

export const families = [4, 6] as const;

/** The set for each limit, in which the kernel records that a sandbox reached it. */
const limitSets: Readonly<Record<EgressLimit, string>> = {
  "open-connections": "c",
  "new-connections": "r",
  "look-ups": "q",
};
export const limits = Object.keys(limitSets) as readonly EgressLimit[];

/** The set of destinations that a sandbox was denied. */
export function deniedSet(slot: number, family: IpFamily): string {
  return `d${family}_${slot}`;
}

/** The set that has an element once a sandbox has reached a limit. */
export function limitSet(slot: number, limit: EgressLimit): string {
  return `${limitSets[limit]}_${slot}`;
}

export type ReportedSet =
  | { readonly kind: "denied"; readonly slot: number }
  | { readonly kind: "limit"; readonly slot: number; readonly limit: EgressLimit };

/** Parses the name of a set that reports something; `undefined` for other sets. */
export function readSetName(name: string): ReportedSet | undefined {
  const match = /^(d[46]|[crq])_(\d+)$/.exec(name);
  if (!match) return undefined;
  const slot = Number(match[2]);
  const limit = limits.find((each) => limitSets[each] === match[1]);
  return limit === undefined ? { kind: "denied", slot } : { kind: "limit", slot, limit };
}

export function daddr(family: IpFamily): string {
  return family === 4 ? "ip daddr" : "ip6 daddr";
}

export function addressType(family: IpFamily): string {
  return family === 4 ? "ipv4_addr" : "ipv6_addr";
}
