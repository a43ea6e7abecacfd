import { formatRange, type IpFamily, type IpRange } from "../addresses/ip-range.ts";
import { forbiddenRanges, specialRanges } from "../addresses/special-ranges.ts";
import type { OwnerNames } from "../host/names.ts";
import type { CompiledPolicy, RangeRule } from "../policy/compile-policy.ts";

/** What all sandboxes of an owner share. */
export interface BaseRules {
  readonly names: OwnerNames;
  /** Where sandboxes have their addresses: translated on the way out, and closed to every sandbox. */
  readonly pools: readonly IpRange[];
  /** Closed to every sandbox: the instance, and what the administrator names. */
  readonly closed: readonly IpRange[];
  /** Where the resolver listens on each gateway. */
  readonly resolverPort: number;
}

export interface SandboxRules {
  readonly slot: number;
  readonly interfaceName: string;
  readonly gateway: string;
  /** The only source addresses that are believed. */
  readonly subnet: IpRange;
  /** `null`: the sandbox has no IPv6. */
  readonly ipv6Subnet: IpRange | null;
  readonly policy: CompiledPolicy;
}

/** An address that a name led to, open until `seconds` have passed. */
export interface Pin {
  readonly slot: number;
  readonly family: IpFamily;
  readonly address: string;
  /** `null`: every port. */
  readonly port: number | null;
  readonly seconds: number;
}

// Protocols by their numbers: nft looks names up in /etc/protocols, which a minimal system does not have.
export const tcp = 6;
export const udp = 17;
const icmp = 1;
const icmpv6 = 58;

/** Connections that a sandbox has at the same time: the connection table is the whole host's. */
const maxConnections = 8192;
const maxDnsConnections = 1024;
const maxDeniedRemembered = 256;
const maxPins = 4096;
/** A connection outlives the name's record; longer than this no job runs. */
const openedFor = "3d";

/**
 * The table of one owner, replacing what was there in one transaction: there is no moment without rules. Without an entry
 * for its interface in the maps a sandbox reaches nothing, so that what a dead executor left stays closed.
 *
 * Chains run before those of other tables (`- 10`): what they refuse stays refused, whatever those accept. Every packet
 * is judged by its own destination, and none is let through for belonging to a known connection alone: a stricter
 * policy, or rules that come back after someone flushed them, cut what is open.
 */
export function baseRuleset({ names, pools, closed, resolverPort }: BaseRules): string {
  const { table, interfacePrefix } = names;
  const ours = `"${interfacePrefix}*"`;
  const never = [...forbiddenRanges, ...closed, ...pools];
  return `
table inet ${table} { }
delete table inet ${table}
table inet ${table} {
  ${rangeSet("forbidden4", 4, never)}
  ${rangeSet("forbidden6", 6, never)}
  ${rangeSet("special4", 4, specialRanges)}
  ${rangeSet("special6", 6, specialRanges)}
  set gateways { type ifname . ipv4_addr; }
  map forwards { type ifname : verdict; }
  map inputs { type ifname : verdict; }
  chain prerouting {
    type nat hook prerouting priority dstnat - 10; policy accept;
    iifname . ip daddr @gateways meta l4proto { ${tcp}, ${udp} } th dport 53 redirect to :${resolverPort}
  }
  chain postrouting {
    type nat hook postrouting priority srcnat - 10; policy accept;
    ${pools.map((range) => `${daddr(range.family).replace("daddr", "saddr")} ${formatRange(range)} oifname != ${ours} masquerade`).join("\n    ")}
  }
  chain forward {
    type filter hook forward priority filter - 10; policy accept;
    iifname ${ours} goto from_sandbox
    oifname ${ours} goto to_sandbox
  }
  chain input {
    type filter hook input priority filter - 10; policy accept;
    iifname ${ours} goto to_host
  }
  chain from_sandbox {
    iifname vmap @forwards
    goto unknown
  }
  chain to_host {
    iifname vmap @inputs
    goto unknown
  }
  chain to_sandbox {
    ct state established,related accept
    drop
  }
  chain unknown {
    meta l4proto ${tcp} reject with tcp reset
    reject with icmpx admin-prohibited
  }
}
`;
}

/** Closes further ranges to every sandbox. */
export function closingRuleset({ table }: OwnerNames, ranges: readonly IpRange[]): string {
  return ranges
    .map((range) => `add element inet ${table} forbidden${range.family} { ${formatRange(range)} }\n`)
    .join("");
}

/** Adds one sandbox, or replaces its policy: the sets of what it has opened start empty. */
export function sandboxRuleset(names: OwnerNames, sandbox: SandboxRules, resolverPort: number): string {
  const { slot, interfaceName, gateway, policy } = sandbox;
  const { set, chain, rule, element } = commandsFor(names);
  const hasNames = policy.kind === "allow" && policy.names.length > 0;
  const refuse = `goto no_${slot}`;
  const forwarded = (...rules: readonly string[]) => rules.map((text) => rule(`fw_${slot}`, text));
  const arriving = (...rules: readonly string[]) => rules.map((text) => rule(`in_${slot}`, text));
  return [
    ...families.flatMap((family) => [
      set(
        `d${family}_${slot}`,
        `type ${addressType(family)} . inet_proto . inet_service; size ${maxDeniedRemembered}; flags dynamic, timeout; timeout 5m;`,
      ),
      ...(hasNames ? pinSets(slot, family).map(([name, body]) => set(name, body)) : []),
    ]),
    chain(`no_${slot}`),
    ...families.map((family) =>
      rule(
        `no_${slot}`,
        `meta l4proto { ${tcp}, ${udp} } update @d${family}_${slot} { ${daddr(family)} . meta l4proto . th dport }`,
      ),
    ),
    // A refusal that is told at once: with silence a step would hang for as long as its programs have patience.
    rule(`no_${slot}`, `meta l4proto ${tcp} reject with tcp reset`),
    rule(`no_${slot}`, "reject with icmpx admin-prohibited"),

    chain(`fw_${slot}`),
    ...forwarded(
      // Outside of what conntrack understands, source addresses are not translated.
      "ct state invalid drop",
      `ip saddr != ${formatRange(sandbox.subnet)} drop`,
      sandbox.ipv6Subnet ? `ip6 saddr != ${formatRange(sandbox.ipv6Subnet)} drop` : `meta nfproto ipv6 ${refuse}`,
      // Someone's translation on this host (a published port, a cluster's service address) made it look like something else.
      `ct status dnat ${refuse}`,
      `ip daddr @forbidden4 ${refuse}`,
      `ip6 daddr @forbidden6 ${refuse}`,
      `ct state related meta l4proto { ${icmp}, ${icmpv6} } accept`,
      // No ICMP tunnels, no raw protocols.
      `meta l4proto != { ${tcp}, ${udp} } ${refuse}`,
      `ct state new ct count over ${maxConnections} ${refuse}`,
      ...policyRules(policy, slot, refuse),
      refuse,
    ),

    chain(`in_${slot}`),
    ...(sandbox.ipv6Subnet
      ? arriving("icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } ip6 hoplimit 255 accept")
      : []),
    ...arriving(
      `ct state new ct count over ${maxDnsConnections} ${refuse}`,
      `ip saddr ${formatRange(sandbox.subnet)} ip daddr ${gateway} meta l4proto { ${tcp}, ${udp} } th dport ${resolverPort} ct status dnat accept`,
      refuse,
    ),
    element("gateways", `"${interfaceName}" . ${gateway}`),
    element("forwards", `"${interfaceName}" : goto fw_${slot}`),
    element("inputs", `"${interfaceName}" : goto in_${slot}`),
    "",
  ].join("\n");
}

/** Removes one sandbox: its interface is closed from then on. */
export function sandboxRemoval(names: OwnerNames, sandbox: SandboxRules): string {
  const { slot, interfaceName, gateway, policy } = sandbox;
  const where = `inet ${names.table}`;
  const hasNames = policy.kind === "allow" && policy.names.length > 0;
  return [
    `delete element ${where} gateways { "${interfaceName}" . ${gateway} }`,
    `delete element ${where} forwards { "${interfaceName}" }`,
    `delete element ${where} inputs { "${interfaceName}" }`,
    ...["fw", "in", "no"].flatMap((kind) => [`flush chain ${where} ${kind}_${slot}`]),
    ...["fw", "in", "no"].flatMap((kind) => [`delete chain ${where} ${kind}_${slot}`]),
    ...families.flatMap((family) => [
      `delete set ${where} d${family}_${slot}`,
      ...(hasNames ? pinSets(slot, family).map(([name]) => `delete set ${where} ${name}`) : []),
    ]),
    "",
  ].join("\n");
}

/** Opens what names led to. An element that is there already gets its new time: deleted and added in one transaction. */
export function pinRuleset(names: OwnerNames, pins: readonly Pin[]): string {
  const lines = new Map<string, string>();
  for (const { slot, family, address, port, seconds } of pins) {
    const set = port === null ? `a${family}_${slot}` : `p${family}_${slot}`;
    const key = port === null ? address : `${address} . ${port}`;
    const where = `element inet ${names.table} ${set}`;
    // Adding first makes the deletion succeed whether it was there or not.
    lines.set(
      `${set} ${key}`,
      `add ${where} { ${key} }\ndelete ${where} { ${key} }\nadd ${where} { ${key} timeout ${seconds}s }\n`,
    );
  }
  return [...lines.values()].join("");
}

/** The sandbox that a set of denied destinations belongs to. */
export function slotOfDeniedSet(name: string): number | undefined {
  const match = /^d[46]_(\d+)$/.exec(name);
  return match ? Number(match[1]) : undefined;
}

const families = [4, 6] as const;

function policyRules(policy: CompiledPolicy, slot: number, refuse: string): readonly string[] {
  const special = [`ip daddr @special4 ${refuse}`, `ip6 daddr @special6 ${refuse}`];
  // Names are ours to resolve: plain DNS, and DNS over TLS and QUIC, go to nobody else. DNS over HTTPS looks like any
  // other HTTPS: only an allow-list contains it.
  const noDns = `th dport { 53, 853 } ${refuse}`;
  if (policy.kind === "public") return [noDns, ...special, "accept"];
  return [
    ...policy.privateRanges.map(rangeRule),
    ...special,
    ...policy.publicRanges.map(rangeRule),
    noDns,
    ...(policy.names.length > 0 ? families.flatMap((family) => nameRules(family, slot)) : []),
  ];
}

function rangeRule({ range, port }: RangeRule): string {
  return `${daddr(range.family)} ${formatRange(range)} ${port === null ? "" : `th dport ${port} `}accept`;
}

/** A connection may begin while its address is pinned, and go on after that. */
function nameRules(family: IpFamily, slot: number): readonly string[] {
  const destination = `${daddr(family)} . th dport`;
  const remember = `update @o${family}_${slot} { ${destination} } accept`;
  return [
    `ct state new ${destination} @p${family}_${slot} ${remember}`,
    `ct state new ${daddr(family)} @a${family}_${slot} ${remember}`,
    `ct state established ${destination} @o${family}_${slot} accept`,
  ];
}

/** Pinned with a port, pinned for any port, and opened by connections that began while pinned. */
function pinSets(slot: number, family: IpFamily): readonly (readonly [name: string, body: string])[] {
  const type = addressType(family);
  return [
    [`p${family}_${slot}`, `type ${type} . inet_service; size ${maxPins}; flags timeout;`],
    [`a${family}_${slot}`, `type ${type}; size ${maxPins}; flags timeout;`],
    [
      `o${family}_${slot}`,
      `type ${type} . inet_service; size ${maxPins}; flags dynamic, timeout; timeout ${openedFor};`,
    ],
  ];
}

function rangeSet(name: string, family: IpFamily, ranges: readonly IpRange[]): string {
  const elements = ranges.filter((range) => range.family === family).map(formatRange);
  return `set ${name} { type ${addressType(family)}; flags interval; auto-merge; elements = { ${elements.join(", ")} }; }`;
}

function commandsFor({ table }: OwnerNames) {
  const where = `inet ${table}`;
  return {
    set: (name: string, body: string) => `add set ${where} ${name} { ${body} }`,
    chain: (name: string) => `add chain ${where} ${name}`,
    rule: (chain: string, text: string) => `add rule ${where} ${chain} ${text}`,
    element: (name: string, text: string) => `add element ${where} ${name} { ${text} }`,
  };
}

function daddr(family: IpFamily): string {
  return family === 4 ? "ip daddr" : "ip6 daddr";
}

function addressType(family: IpFamily): string {
  return family === 4 ? "ipv4_addr" : "ipv6_addr";
}
