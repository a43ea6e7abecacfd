import { z } from "zod";
import type { HostNetwork } from "./host-network.ts";
import { ToolError } from "./run-tool.ts";

const ChainListing = z.object({
  nftables: z.array(
    z.object({
      chain: z
        .object({ family: z.string(), table: z.string(), hook: z.string().optional(), policy: z.string().optional() })
        .optional(),
    }),
  ),
});

interface FirewallTable {
  readonly family: string;
  readonly name: string;
}

/**
 * Warns about firewalls of the host that drop forwarded packets by default, as Docker configures it. They drop what
 * sandboxes send, because a packet passes only if no table drops it. The executor does not change the host's firewall,
 * which belongs to the administrator.
 */
export async function notesOnHostFirewalls(network: HostNetwork): Promise<readonly string[]> {
  const dropping: string[] = [];
  for (const { family, name } of droppingTables(await network.nftList("chains"))) {
    if (opensToSandboxes(await network.run("nft", "list", "table", family, name))) continue;
    dropping.push(family === "ip" || family === "ip6" ? iptablesOf(family, name) : `table ${family} ${name}`);
  }
  if (await legacyDrops(network)) dropping.push("iptables-legacy");
  return dropping.map(noteOn);
}

/** Returns the tables whose chain on the forward hook drops by default. */
export function droppingTables(listing: unknown): readonly FirewallTable[] {
  return ChainListing.parse(listing).nftables.flatMap(({ chain }) =>
    chain?.hook === "forward" && chain.policy === "drop" ? [{ family: chain.family, name: chain.table }] : [],
  );
}

function iptablesOf(family: string, name: string): string {
  if (name !== "filter") return `table ${family} ${name}`;
  return family === "ip" ? "iptables" : "ip6tables";
}

function noteOn(firewall: string): string {
  const what = `The host's firewall (${firewall}) drops what it forwards, also what sandboxes send`;
  if (!firewall.startsWith("ip")) {
    return `${what}: let what comes in by interfaces "ak*" pass there, and what goes out by them for established connections.`;
  }
  // Append the rules, so that what the administrator's own rules close stays closed.
  const commands = [
    `${firewall} -A FORWARD -i ak+ -j ACCEPT`,
    `${firewall} -A FORWARD -o ak+ -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT`,
  ];
  return `${what}: ${commands.join("; ")}`;
}

/** Whether the firewall already accepts packets from sandboxes. */
function opensToSandboxes(rules: string): boolean {
  return /^.*iifname "ak.*accept$/m.test(rules);
}

/**
 * Whether iptables-legacy drops forwarded packets. nft does not list its tables. Checks only tables in use, because
 * listing others makes the kernel load them.
 */
async function legacyDrops(network: HostNetwork): Promise<boolean> {
  try {
    const tables = await network.run("cat", "/proc/net/ip_tables_names");
    if (!/^filter$/m.test(tables)) return false;
    const rules = await network.run("iptables-legacy", "-S", "FORWARD");
    return /^-P FORWARD DROP$/m.test(rules) && !/^-A FORWARD -i ak\S* -j ACCEPT$/m.test(rules);
  } catch (error) {
    // Without the file, the kernel has no such tables. Without the program, no rules were made with it.
    if (error instanceof ToolError) return false;
    throw error;
  }
}
