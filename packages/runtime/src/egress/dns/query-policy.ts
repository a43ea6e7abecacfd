import { formatAddress, parseRange } from "../addresses/ip-range.ts";
import { specialRanges, touches } from "../addresses/special-ranges.ts";
import { matchingRules, type NameRule, openPorts } from "../policy/name-rules.ts";

export type ResolverPolicy =
  | { readonly kind: "public" }
  /** Only these names. Their addresses are opened on the ports of the rules. */
  | { readonly kind: "allow"; readonly names: readonly NameRule[] };

export type QueryDecision =
  /** `ports`: the ports on which to open the answer's addresses; `undefined` if they are already open. */
  | { readonly kind: "forward"; readonly ports: readonly number[] | null | undefined }
  /** The name may exist, but has no such records. */
  | { readonly kind: "empty" }
  /** `isDenial`: tell the job, since the policy denies a name that it wants. */
  | { readonly kind: "refuse"; readonly code: "NXDOMAIN" | "REFUSED"; readonly isDenial: boolean };

/** Types that programs use. Other types (NULL, ANY, zone transfers, keys) serve tunnels and attacks. */
const publicTypes = new Set(["A", "AAAA", "CNAME", "MX", "NS", "PTR", "SOA", "SRV", "TXT", "CAA"]);
/**
 * HTTPS and SVCB records contain addresses themselves. Clients also ask for A and AAAA, and work without these types.
 */
const serviceBindingTypes = new Set(["UNKNOWN_64", "UNKNOWN_65", "SVCB", "HTTPS"]);

/** Domains that only name something near the host. RFC 6761, RFC 6762 appendix G, RFC 8375. */
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
/** Denied whatever a rule says. Their addresses are closed as well. */
const metadataNames = new Set(["metadata.google.internal", "instance-data.ec2.internal", "metadata.tencentyun.com"]);

const hostLabel = "[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?";
const hostName = new RegExp(`^(?=.{1,253}$)${hostLabel}(?:\\.${hostLabel})+$`);

/** @param name Lower case, without the trailing dot. */
export function decideQuery(policy: ResolverPolicy, name: string, type: string): QueryDecision {
  const refuse = (code: "NXDOMAIN" | "REFUSED", isDenial = true): QueryDecision => ({ kind: "refuse", code, isDenial });
  // Short names are meant to be completed with search domains, which a sandbox does not have.
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

/** Accepts only complete addresses outside of private networks, because private reverse names reveal internal hosts. */
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
