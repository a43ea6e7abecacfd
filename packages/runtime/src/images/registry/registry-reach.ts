import { type LookupAddress, type LookupOptions, lookup } from "node:dns";
import { lookup as lookUp } from "node:dns/promises";
import { isIP } from "node:net";
import { parseRange } from "../../egress/addresses/ip-range.ts";
import { forbiddenRanges, specialRanges, touches } from "../../egress/addresses/special-ranges.ts";

/** From the internet to what only the machine itself reaches. */
const reaches = ["public", "private", "host"] as const;
export type Reach = (typeof reaches)[number];

/** The reach of an address: loopback, link-local and metadata addresses are the `host`'s. */
export function reachOfAddress(address: string): Reach {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1] ?? address;
  const range = parseRange(mapped.replace(/%.*$/, ""));
  if (touches(forbiddenRanges, range)) return "host";
  return touches(specialRanges, range) ? "private" : "public";
}

/** Of a registry: the most public of its addresses, so that one more address opens nothing. */
export async function reachOfHost(host: string): Promise<Reach> {
  const bare = host.replace(/^\[|\]$/g, "");
  const addresses = isIP(bare) ? [bare] : (await lookUp(bare, { all: true })).map(({ address }) => address);
  const found = new Set(addresses.map(reachOfAddress));
  return reaches.find((reach) => found.has(reach)) ?? "public";
}

export function mayReach(from: Reach, to: Reach): boolean {
  return reaches.indexOf(to) <= reaches.indexOf(from);
}

/** A registry, or its answer, leads where it may not lead. */
export class OutOfReachError extends Error {
  override readonly name: string = "OutOfReachError";
}

type Answer = (error: Error | null, address: string | LookupAddress[], family?: number) => void;

/** Resolves names for a connection as usual, and fails when any of the addresses is past `reach`. */
export function lookupWithin(reach: Reach) {
  return (host: string, options: LookupOptions, answer: Answer): void => {
    lookup(host, { ...options, all: true }, (error, addresses) => {
      if (error) return answer(error, []);
      if (addresses.some(({ address }) => !mayReach(reach, reachOfAddress(address)))) {
        return answer(new OutOfReachError(`${host} has an address that the registry may not lead to`), []);
      }
      const first = addresses[0];
      if (options.all || !first) return answer(null, addresses);
      answer(null, first.address, first.family);
    });
  };
}
