import { formatRange, type IpFamily, type IpRange } from "../addresses/ip-range.ts";
import { forbiddenRanges, specialRanges } from "../addresses/special-ranges.ts";
import type { OwnerNames } from "../host/names.ts";
import { type ConnectionLimits, connectionTimeouts } from "./connection-limits.ts";
import { addressType, daddr, families, tcp, udp } from "./set-names.ts";

/** The parts of the owner's table that each sandbox's rules refer to. */
export interface SharedRules {
  readonly names: OwnerNames;
  /** Port of the resolver on each gateway. */
  readonly resolverPort: number;
  readonly limits: ConnectionLimits;
}

export interface BaseRules extends SharedRules {
  /** Ranges of the sandboxes' addresses. They are translated on the way out, and closed to every sandbox. */
  readonly pools: readonly IpRange[];
  /** Ranges closed to every sandbox: the instance, and what the administrator closed. */
  readonly closed: readonly IpRange[];
  /** Whether new connections are paused because the host's connection table is nearly full. */
  readonly isPaused: boolean;
}

const pauseRule = "drop";

/**
 * Replaces the owner's table in one transaction, so that there is no moment without rules. A sandbox whose interface
 * has no entry in the maps can't reach anything. Therefore the leftovers of a dead executor stay closed.
 *
 * The chains run before those of other tables (`- 10`), so a rejected packet stays rejected, whatever other tables
 * accept. Every packet is checked by its own destination. Belonging to a known connection is not enough. So a stricter
 * policy cuts open connections, and so do rules that are restored after another program flushed them.
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

/** Closes additional ranges to every sandbox. */
export function closingRuleset({ table }: OwnerNames, ranges: readonly IpRange[]): string {
  return ranges
    .map((range) => `add element inet ${table} forbidden${range.family} { ${formatRange(range)} }\n`)
    .join("");
}

/** Pauses or resumes new connections of all sandboxes. TCP retries by itself. */
export function pauseRuleset({ table }: OwnerNames, isPaused: boolean): string {
  const flush = `flush chain inet ${table} pause\n`;
  return isPaused ? `${flush}add rule inet ${table} pause ${pauseRule}\n` : flush;
}

/** Gives new connections shorter timeouts, because by default the kernel keeps a closed connection for minutes. */
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
