import { formatRange, type IpFamily, type IpRange } from "../addresses/ip-range.ts";
import { forbiddenRanges, specialRanges } from "../addresses/special-ranges.ts";
import type { OwnerNames } from "../host/names.ts";
import { type ConnectionLimits, connectionTimeouts } from "./connection-limits.ts";
import { addressType, daddr, families, tcp, udp } from "./set-names.ts";

/** What the rules of each sandbox need to know of the owner's table. */
export interface SharedRules {
  readonly names: OwnerNames;
  /** Where the resolver listens on each gateway. */
  readonly resolverPort: number;
  readonly limits: ConnectionLimits;
}

export interface BaseRules extends SharedRules {
  /** Where sandboxes have their addresses: translated on the way out, and closed to every sandbox. */
  readonly pools: readonly IpRange[];
  /** Closed to every sandbox: the instance, and what the administrator names. */
  readonly closed: readonly IpRange[];
  /** Whether new connections wait because the host's connection table is nearly full. */
  readonly isPaused: boolean;
}

const pauseRule = "drop";

/**
 * The table of one owner, replacing what was there in one transaction: there is no moment without rules. Without an entry
 * for its interface in the maps a sandbox reaches nothing, so that what a dead executor left stays closed.
 *
 * Chains run before those of other tables (`- 10`): what they refuse stays refused, whatever those accept. Every packet
 * is judged by its own destination, and none is let through for belonging to a known connection alone: a stricter
 * policy, or rules that are restored after another program flushed them, cut what is open.
 */
export function baseRuleset({ names, pools, closed, resolverPort, limits, isPaused }: BaseRules): string {
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
  chain pause {
    ${isPaused ? pauseRule : ""}
  }
  chain begin { }
}
${limits.hasTimeouts ? timeoutRules(table) : ""}add rule inet ${table} begin accept
`;
}

/** Closes further ranges to every sandbox. */
export function closingRuleset({ table }: OwnerNames, ranges: readonly IpRange[]): string {
  return ranges
    .map((range) => `add element inet ${table} forbidden${range.family} { ${formatRange(range)} }\n`)
    .join("");
}

/** Lets new connections of all sandboxes wait, or go on. TCP retries by itself. */
export function pauseRuleset({ table }: OwnerNames, isPaused: boolean): string {
  const flush = `flush chain inet ${table} pause\n`;
  return isPaused ? `${flush}add rule inet ${table} pause ${pauseRule}\n` : flush;
}

/** Gives connections that begin timeouts of their own: the kernel keeps a closed connection for minutes by default. */
function timeoutRules(table: string): string {
  return Object.entries(connectionTimeouts)
    .flatMap(([protocol, timeouts]) => {
      const policy = Object.entries(timeouts).map(([state, seconds]) => `${state}: ${seconds}`);
      return families.flatMap((family) => {
        const name = `${protocol}${family}`;
        const l3proto = family === 4 ? "ip" : "ip6";
        const number = protocol === "tcp" ? tcp : udp;
        return [
          `add ct timeout inet ${table} ${name} { protocol ${protocol}; l3proto ${l3proto}; policy = { ${policy.join(", ")} }; }`,
          `add rule inet ${table} begin meta nfproto ipv${family} meta l4proto ${number} ct timeout set "${name}"`,
        ];
      });
    })
    .map((command) => `${command}\n`)
    .join("");
}

function rangeSet(name: string, family: IpFamily, ranges: readonly IpRange[]): string {
  const elements = ranges.filter((range) => range.family === family).map(formatRange);
  return `set ${name} { type ${addressType(family)}; flags interval; auto-merge; elements = { ${elements.join(", ")} }; }`;
}
