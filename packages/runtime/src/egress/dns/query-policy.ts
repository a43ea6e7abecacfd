import { formatAddress, parseRange } from "../addresses/ip-range.ts";
import { specialRanges, touches } from "../addresses/special-ranges.ts";
import { matchingRules, type NameRule, openPorts } from "../policy/name-rules.ts";

export type ResolverPolicy =
  | { readonly kind: "public" }
  /** Only these names; their addresses are opened on the ports of the rules. */
  | { readonly kind: "allow"; readonly names: readonly NameRule[] };

export type QueryDecision =
  /** `ports`: what the answer's addresses are opened for; `undefined` where they are open anyway. */
  | { readonly kind: "forward"; readonly ports: readonly number[] | null | undefined }
  /** The name may exist, such records do not. */
  | { readonly kind: "empty" }
  /** `isDenial`: the job should be told, since a name that it wants is closed. */
  | { readonly kind: "refuse"; readonly code: "NXDOMAIN" | "REFUSED"; readonly isDenial: boolean };

/** What programs ask for; all else (NULL, ANY, zone transfers, keys) serves tunnels and attacks. */
const publicTypes = new Set(["A", "AAAA", "CNAME", "MX", "NS", "PTR", "SOA", "SRV", "TXT", "CAA"]);
/** Records of the kind HTTPS and SVCB carry addresses of their own; clients ask A and AAAA besides and do without. */
const serviceBindingTypes = new Set(["UNKNOWN_64", "UNKNOWN_65", "SVCB", "HTTPS"]);

/** Top-level and other domains that only ever name something near the host. RFC 6761, RFC 6762 appendix G, RFC 8375. */
const localDomains = [
  "corp",
  "home",
  "home.arpa",
  "internal",
  "intranet",
  "invalid",
  "lan",
  "local",
  "localdomain",
  "localhost",
  "onion",
  "private",
];
/** Refused whatever a rule says. Their addresses are closed besides. */
const metadataNames = new Set(["metadata.google.internal", "instance-data.ec2.internal", "metadata.tencentyun.com"]);

const hostLabel = "[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?";
const hostName = new RegExp(`^(?=.{1,253}$)${hostLabel}(?:\\.${hostLabel})+$`);

/** @param name lower case, without the final dot. */
export function decideQuery(policy: ResolverPolicy, name: string, type: string): QueryDecision {
  const refuse = (code: "NXDOMAIN" | "REFUSED", isDenial = true): QueryDecision => ({ kind: "refuse", code, isDenial });
  // Stub resolvers complete short names by search domains; a sandbox has none, so nothing is meant by them.
  if (!hostName.test(name)) return refuse("NXDOMAIN", false);
  if (metadataNames.has(name)) return refuse("NXDOMAIN");
  const isAddress = type === "A" || type === "AAAA";

  if (policy.kind === "allow") {
    const rules = matchingRules(policy.names, name);
    if (rules.length === 0) return refuse("REFUSED", isAddress);
    if (isAddress) return { kind: "forward", ports: openPorts(rules) };
    return serviceBindingTypes.has(type) ? { kind: "empty" } : refuse("REFUSED", false);
  }
  if (name === "arpa" || name.endsWith(".arpa")) {
    return type === "PTR" && isPublicReverseName(name)
      ? { kind: "forward", ports: undefined }
      : refuse("NXDOMAIN", false);
  }
  if (localDomains.some((domain) => name === domain || name.endsWith(`.${domain}`))) return refuse("NXDOMAIN");
  if (serviceBindingTypes.has(type)) return { kind: "empty" };
  return publicTypes.has(type) ? { kind: "forward", ports: undefined } : refuse("REFUSED", false);
}

/** Whole addresses only, and none of a private network, whose names are nobody's business. */
function isPublicReverseName(name: string): boolean {
  const ipv4 = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.in-addr\.arpa$/.exec(name);
  const ipv6 = /^((?:[0-9a-f]\.){32})ip6\.arpa$/.exec(name);
  const reversed = (text: string) => text.split(".").filter(Boolean).reverse();
  try {
    if (ipv4) return !touches(specialRanges, parseRange(reversed(ipv4.slice(1).join(".")).join(".")));
    if (!ipv6) return false;
    return !touches(specialRanges, parseRange(formatAddress(6, BigInt(`0x${reversed(ipv6[1] ?? "").join("")}`))));
  } catch (error) {
    if (error instanceof RangeError) return false;
    throw error;
  }
}
