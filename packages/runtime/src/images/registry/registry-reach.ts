import { type LookupAddress, type LookupOptions, lookup } from "node:dns";
import { lookup as lookUp } from "node:dns/promises";
import { isIP } from "node:net";
import { isPrivateName } from "@airlock/proxy";
import { parseRange } from "../../egress/addresses/ip-range.ts";
import { forbiddenRanges, specialRanges, touches } from "../../egress/addresses/special-ranges.ts";

/** From addresses on the internet to those that only this machine itself reaches. */
const reaches = ["public", "private", "host"] as const;
export type Reach = (typeof reaches)[number];

/** The reach of an address: loopback, link-local and metadata addresses are the `host`'s. */
export function reachOfAddress(address: string): Reach {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1] ?? address;
  const range = parseRange(mapped.replace(/%.*$/, ""));
  if (touches(forbiddenRanges, range)) return "host";
  return touches(specialRanges, range) ? "private" : "public";
}

/**
 * The reach of a host is that of its most public address. So adding an address to its DNS records can't widen what it
 * may redirect to.
 */
export async function reachOfHost(host: string): Promise<Reach> {
  const bare = host.replace(/^\[|\]$/g, "");
  const addresses = isIP(bare) ? [bare] : (await lookUp(bare, { all: true })).map(({ address }) => address);
  const found = new Set(addresses.map(reachOfAddress));
  return reaches.find((reach) => found.has(reach)) ?? "public";
}

export function mayReach(from: Reach, to: Reach): boolean {
  return reaches.indexOf(to) <= reaches.indexOf(from);
}

/** A registry or its response leads to an address that is too close to this machine. */
export class OutOfReachError extends Error {
  override readonly name: string = "OutOfReachError";
}

/**
 * The reach of a registry that a proxy connects to. If this machine can't resolve its name, the registry counts as
 * public, the widest reach, so it may lead to public addresses only.
 */
export async function reachOfProxiedHost(host: string): Promise<Reach> {
  return await reachOfHost(host).catch(() => "public" as const);
}

/**
 * Refuses a host that a proxy would connect to, if it is closer than `reach` allows. The proxy resolves the name itself,
 * so this check can't bind the connection to an address. What the proxy connects to is its administrator's decision. A
 * name that this machine can't resolve is judged by its form.
 * @throws {OutOfReachError}
 */
export async function refuseProxiedHost(host: string, reach: Reach): Promise<void> {
  const bare = host.replace(/^\[|\]$/g, "");
  const addresses = isIP(bare)
    ? [bare]
    : await lookUp(bare, { all: true }).then(
        (found) => found.map(({ address }) => address),
        () => [],
      );
  const isTooClose =
    addresses.length === 0
      ? reach === "public" && isPrivateName(bare)
      : addresses.some((address) => !mayReach(reach, reachOfAddress(address)));
  if (isTooClose) throw new OutOfReachError(`the registry redirects to ${bare}, which is not allowed`);
}

type Answer = (error: Error | null, address: string | LookupAddress[], family?: number) => void;

/**
 * Returns a DNS lookup for connections that fails if any address of the host is closer to this machine than `reach`
 * allows.
 */
export function lookupWithin(reach: Reach) {
  return (host: string, options: LookupOptions, answer: Answer): void => {
    lookup(host, { ...options, all: true }, (error, addresses) => {
      if (error) return answer(error, []);
      if (addresses.some(({ address }) => !mayReach(reach, reachOfAddress(address)))) {
        return answer(new OutOfReachError(`${host} has an address to which a registry must not redirect`), []);
      }
      const first = addresses[0];
      if (options.all || !first) return answer(null, addresses);
      answer(null, first.address, first.family);
    });
  };
}
