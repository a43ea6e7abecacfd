import type { EgressLimit } from "../../contract/index.ts";
import { formatRange, type IpFamily, type IpRange } from "../addresses/ip-range.ts";
import type { OwnerNames } from "../host/names.ts";
import type { CompiledPolicy, RangeRule } from "../policy/compile-policy.ts";
import type { SharedRules } from "./base-ruleset.ts";
import type { ConnectionLimit } from "./connection-limits.ts";
import { openedSet, pinnedAddressSet, pinnedPortSet, pinSets } from "./pin-ruleset.ts";
import { addressType, daddr, deniedSet, families, icmp, icmpv6, limitSet, limits, tcp, udp } from "./set-names.ts";

export interface SandboxRules {
  readonly slot: number;
  readonly interfaceName: string;
  readonly gateway: string;
  /** The only accepted source addresses. */
  readonly subnet: IpRange;
  /** `null`: the sandbox has no IPv6. */
  readonly ipv6Subnet: IpRange | null;
  readonly policy: CompiledPolicy;
}

/**
 * Limit for packets to the resolver, whose work is not covered by the job's CPU limit. The resolver itself has a lower
 * limit for queries. This one saves it from reading more than necessary.
 */
const resolverPackets = { perSecond: 1000, burst: 2000 };
const maxDeniedRemembered = 256;
/** A job is told about a denial within seconds, so the kernel need not remember it longer. */
const rememberedFor = "5m";

/** A sandbox's chains: forwarded packets, new connections, packets to the host, lookups, and rejections. */
const chains = ["fw", "ok", "in", "dns", "no"] as const;

/** Adds a sandbox, or replaces its policy. The sets of opened addresses start empty. */
export function sandboxRuleset({ names, resolverPort, limits: most }: SharedRules, sandbox: SandboxRules): string {
  const { slot, interfaceName, gateway, subnet, ipv6Subnet, policy } = sandbox;
  const { set, chain, rules, element } = commandsFor(names, slot);
  const refuse = `goto no_${slot}`;
  const source = `ip saddr ${formatRange(subnet)}`;
  return [
    ...families.map((family) =>
      set(
        deniedSet(slot, family),
        `type ${addressType(family)} . inet_proto . inet_service; size ${maxDeniedRemembered}; flags dynamic, timeout; timeout ${rememberedFor};`,
      ),
    ),
    ...limits.map((limit) =>
      set(limitSet(slot, limit), `type inet_proto; size 4; flags dynamic, timeout; timeout ${rememberedFor};`),
    ),
    ...(hasNames(policy) ? families.flatMap((family) => pinSets(slot, family)) : []).map(([name, body]) =>
      set(name, body),
    ),
    ...chains.map(chain),

    ...rules(
      "no",
      ...families.map(
        (family) =>
          `meta l4proto { ${tcp}, ${udp} } update @${deniedSet(slot, family)} { ${daddr(family)} . meta l4proto . th dport }`,
      ),
      // Reject immediately, because a program whose packets are dropped waits for its full timeout.
      "goto unknown",
    ),
    ...rules(
      "fw",
      // Source addresses are not translated in packets that conntrack does not understand.
      "ct state invalid drop",
      `ip saddr != ${formatRange(subnet)} drop`,
      ipv6Subnet ? `ip6 saddr != ${formatRange(ipv6Subnet)} drop` : `meta nfproto ipv6 ${refuse}`,
      // Another program's translation (a published port, a cluster's service address) has changed the destination.
      `ct status dnat ${refuse}`,
      `ip daddr @forbidden4 ${refuse}`,
      `ip6 daddr @forbidden6 ${refuse}`,
      `ct state related meta l4proto { ${icmp}, ${icmpv6} } accept`,
      // Prevents ICMP tunnels and raw protocols.
      `meta l4proto != { ${tcp}, ${udp} } ${refuse}`,
      ...policyRules(policy, slot, refuse),
      refuse,
    ),
    ...rules(
      "ok",
      ...newConnectionRules(slot, most.connections, { rate: "new-connections", open: "open-connections" }),
    ),
    ...rules(
      "in",
      ...(ipv6Subnet ? ["icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } ip6 hoplimit 255 accept"] : []),
      `${source} ip daddr ${gateway} meta l4proto { ${tcp}, ${udp} } th dport ${resolverPort} ct status dnat goto dns_${slot}`,
      refuse,
    ),
    ...rules(
      "dns",
      `limit rate over ${resolverPackets.perSecond}/second burst ${resolverPackets.burst} packets drop`,
      ...newConnectionRules(slot, most.lookUps, { rate: "look-ups", open: "look-ups" }),
    ),
    element("gateways", `"${interfaceName}" . ${gateway}`),
    element("forwards", `"${interfaceName}" : goto fw_${slot}`),
    element("inputs", `"${interfaceName}" : goto in_${slot}`),
    "",
  ].join("\n");
}

/** Removes a sandbox's rules. Its interface is closed from then on. */
export function sandboxRemoval(names: OwnerNames, sandbox: SandboxRules): string {
  const { slot, interfaceName, gateway, policy } = sandbox;
  const where = `inet ${names.table}`;
  const sets = [
    ...families.map((family) => deniedSet(slot, family)),
    ...limits.map((limit) => limitSet(slot, limit)),
    ...(hasNames(policy) ? families.flatMap((family) => pinSets(slot, family)) : []).map(([name]) => name),
  ];
  return [
    `delete element ${where} gateways { "${interfaceName}" . ${gateway} }`,
    `delete element ${where} forwards { "${interfaceName}" }`,
    `delete element ${where} inputs { "${interfaceName}" }`,
    ...chains.map((kind) => `flush chain ${where} ${kind}_${slot}`),
    ...chains.map((kind) => `delete chain ${where} ${kind}_${slot}`),
    ...sets.map((name) => `delete set ${where} ${name}`),
    "",
  ].join("\n");
}

function hasNames(policy: CompiledPolicy): boolean {
  return policy.kind === "allow" && policy.names.length > 0;
}

/**
 * Handles a packet that the policy allows. Packets of known connections pass, and a new connection must be within the
 * limits. The kernel enters a connection into its table only after all rules, so a rejected one takes no room.
 */
function newConnectionRules(
  slot: number,
  { open, burst, perSecond }: ConnectionLimit,
  reports: { readonly rate: EgressLimit; readonly open: EgressLimit },
): readonly string[] {
  const note = (limit: EgressLimit) => `update @${limitSet(slot, limit)} { meta l4proto }`;
  // The kernel forgets UDP lookups so soon that the limit on their number at the same time is enough.
  const limited = reports.rate === "look-ups" ? `meta l4proto ${tcp} ` : "";
  return [
    "ct status & confirmed != 0 accept",
    "jump pause",
    // Dropped instead of rejected: TCP retries a second later, so the job is slowed down and does not fail.
    `${limited}limit rate over ${perSecond}/second burst ${burst} packets ${note(reports.rate)} drop`,
    `ct count over ${open} ${note(reports.open)} goto unknown`,
    "goto begin",
  ];
}

function policyRules(policy: CompiledPolicy, slot: number, refuse: string): readonly string[] {
  const accept = `goto ok_${slot}`;
  const special = [`ip daddr @special4 ${refuse}`, `ip6 daddr @special6 ${refuse}`];
  // Only the executor's resolver may answer names, so plain DNS and DNS over TLS and QUIC are rejected. DNS over HTTPS
  // looks like any other HTTPS, so only an allow-list can prevent it.
  const noDns = `th dport { 53, 853 } ${refuse}`;
  if (policy.kind === "public") return [noDns, ...special, accept];
  return [
    ...policy.privateRanges.map((rule) => rangeRule(rule, accept)),
    ...special,
    ...policy.publicRanges.map((rule) => rangeRule(rule, accept)),
    noDns,
    ...(hasNames(policy) ? families.flatMap((family) => nameRules(family, slot, accept)) : []),
  ];
}

function rangeRule({ range, port }: RangeRule, accept: string): string {
  return `${daddr(range.family)} ${formatRange(range)} ${port === null ? "" : `th dport ${port} `}${accept}`;
}

/** A connection may begin while its address is pinned, and continue after that. */
function nameRules(family: IpFamily, slot: number, accept: string): readonly string[] {
  const destination = `${daddr(family)} . th dport`;
  const opened = openedSet(slot, family);
  const remember = `update @${opened} { ${destination} } ${accept}`;
  return [
    `ct state new ${destination} @${pinnedPortSet(slot, family)} ${remember}`,
    `ct state new ${daddr(family)} @${pinnedAddressSet(slot, family)} ${remember}`,
    `ct state established ${destination} @${opened} ${accept}`,
  ];
}

function commandsFor({ table }: OwnerNames, slot: number) {
  const where = `inet ${table}`;
  return {
    set: (name: string, body: string) => `add set ${where} ${name} { ${body} }`,
    chain: (kind: string) => `add chain ${where} ${kind}_${slot}`,
    rules: (kind: string, ...texts: readonly string[]) =>
      texts.map((text) => `add rule ${where} ${kind}_${slot} ${text}`),
    element: (name: string, text: string) => `add element ${where} ${name} { ${text} }`,
  };
}
