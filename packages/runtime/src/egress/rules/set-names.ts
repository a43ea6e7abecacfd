import type { EgressLimit } from "../../contract/index.ts";
import type { IpFamily } from "../addresses/ip-range.ts";

// Protocols by their numbers: nft looks names up in /etc/protocols, which a minimal system does not have.
export const tcp = 6;
export const udp = 17;
export const icmp = 1;
export const icmpv6 = 58;

export const families = [4, 6] as const;

/** Sets in which the kernel notes that a sandbox reached a limit, by the limit. */
const limitSets: Readonly<Record<EgressLimit, string>> = {
  "open-connections": "c",
  "new-connections": "r",
  "look-ups": "q",
};
export const limits = Object.keys(limitSets) as readonly EgressLimit[];

/** The set of what a sandbox was denied. */
export function deniedSet(slot: number, family: IpFamily): string {
  return `d${family}_${slot}`;
}

/** The set that holds an element once a sandbox has reached a limit. */
export function limitSet(slot: number, limit: EgressLimit): string {
  return `${limitSets[limit]}_${slot}`;
}

export type ReportedSet =
  | { readonly kind: "denied"; readonly slot: number }
  | { readonly kind: "limit"; readonly slot: number; readonly limit: EgressLimit };

/** What a set reports, by its name; `undefined` for a set that reports nothing. */
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
