import type { V1NetworkPolicyEgressRule, V1NetworkPolicyPeer, V1NetworkPolicyPort } from "@kubernetes/client-node";
import { formatRange, type IpRange, includes, parseRange } from "../egress/addresses/ip-range.ts";
import { forbiddenRanges, liesIn, specialRanges } from "../egress/addresses/special-ranges.ts";
import type { CompiledPolicy } from "../egress/policy/compile-policy.ts";

/** Addresses of an allowed name. */
export interface OpenedAddresses {
  readonly addresses: readonly string[];
  /** `null`: every port. */
  readonly ports: readonly number[] | null;
}

/** Ports of DNS, and of DNS over TLS and QUIC. Only the executor's resolver may answer names. */
const dnsPorts = [53, 853] as const;
const everyPort = portRanges([[1, 65_535]]);
const everyOtherPort = portRanges([
  [1, 52],
  [54, 852],
  [854, 65_535],
]);
/** IPv6 addresses outside of this range are not on the internet. */
const internet = ["0.0.0.0/0", "2000::/3"].map(parseRange);

/**
 * What a policy lets out of a pod, as the rules of a NetworkPolicy. They list protocols, because a rule without ports
 * also opens ICMP and raw protocols.
 * @param policy `null`: nothing.
 * @param closed Ranges that no rule opens.
 */
export function egressRules(
  policy: CompiledPolicy | null,
  closed: readonly IpRange[],
  opened: readonly OpenedAddresses[] = [],
): V1NetworkPolicyEgressRule[] {
  if (policy === null) return [];
  const never = [...forbiddenRanges, ...closed];
  const notPublic = [...specialRanges, ...never];
  const peersIn = (range: IpRange, except: readonly IpRange[]) => peersOf([range], except);
  if (policy.kind === "public") return rule(peersOf(internet, notPublic), everyOtherPort);
  return [
    ...policy.privateRanges.flatMap(({ range, port }) => rule(peersIn(range, never), portsOf(port))),
    ...policy.publicRanges.flatMap(({ range, port }) => rule(peersIn(range, notPublic), portsOf(port))),
    ...opened.flatMap(({ addresses, ports }) =>
      rule(peersOf(addresses.map(parseRange), notPublic), ports === null ? everyOtherPort : namedPorts(ports)),
    ),
  ];
}

/** A rule without peers or ports would mean all of them. */
function rule(to: V1NetworkPolicyPeer[], ports: V1NetworkPolicyPort[]): V1NetworkPolicyEgressRule[] {
  return to.length === 0 || ports.length === 0 ? [] : [{ to, ports }];
}

/** Two ranges are either apart, or one holds the other. */
function peersOf(ranges: readonly IpRange[], closed: readonly IpRange[]): V1NetworkPolicyPeer[] {
  return ranges
    .filter((range) => !liesIn(closed, range))
    .map((range) => {
      const except = outermost(closed.filter((each) => includes(range, each))).map(cidrOf);
      return { ipBlock: { cidr: cidrOf(range), ...(except.length === 0 ? {} : { except }) } };
    });
}

function outermost(ranges: readonly IpRange[]): readonly IpRange[] {
  return ranges.filter(
    (range, index) => !ranges.some((other, at) => includes(other, range) && (other.bits < range.bits || at < index)),
  );
}

/** In the canonical form, without which newer API servers warn. */
function cidrOf(range: IpRange): string {
  const [address = "", bits = range.family === 4 ? "32" : "128"] = formatRange(range).split("/");
  return `${range.family === 4 ? address : new URL(`http://[${address}]`).hostname.slice(1, -1)}/${bits}`;
}

function portsOf(port: number | null): V1NetworkPolicyPort[] {
  return port === null ? everyPort : portRanges([[port, port]]);
}

function namedPorts(ports: readonly number[]): V1NetworkPolicyPort[] {
  return portRanges(ports.filter((port) => !dnsPorts.some((each) => each === port)).map((port) => [port, port]));
}

function portRanges(ranges: readonly (readonly [number, number])[]): V1NetworkPolicyPort[] {
  return ["TCP", "UDP"].flatMap((protocol) =>
    ranges.map(([port, endPort]) => ({ protocol, port, ...(endPort === port ? {} : { endPort }) })),
  );
}
