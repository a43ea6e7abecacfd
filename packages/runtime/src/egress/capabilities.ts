import { errorMessage } from "@airlock/job";
import { AddressPool, defaultPool } from "./addresses/address-pool.ts";
import { ownerNames } from "./host/names.ts";
import { runTool } from "./host/run-tool.ts";
import { baseRuleset, sandboxRuleset } from "./rules/ruleset.ts";

/** What a host can enforce. */
export interface EgressCapabilities {
  readonly public: boolean;
  readonly allow: boolean;
  /** Whether sandboxes get IPv6: only where the host has it. */
  readonly ipv6: boolean;
  /** One sentence each on what is missing or weaker than it could be, with the way to mend it. */
  readonly notes: readonly string[];
  /** The same on sandboxes that are attached by a link of our own: an engine opens its firewall to its own bridges. */
  readonly linkNotes: readonly string[];
}

/**
 * Finds out by doing: loads the real rules, with a sandbox of each kind, into a network namespace that dies with the tool.
 * The host's own rules stay as they are.
 * @returns `null` when all of it works, else a sentence on what does not.
 */
export async function findProblem(): Promise<string | null> {
  if (process.geteuid?.() !== 0) return "Egress policies other than none need root; run the executor as root.";
  const missing = await missingPackages();
  if (missing.length > 0) {
    return `Egress policies other than none need ${missing.join(" and ")}; install ${missing.length > 1 ? "them" : "it"} and start the executor again.`;
  }
  const names = ownerNames("probe");
  const pool = new AddressPool(defaultPool, names.globalId);
  const block = pool.take([]);
  if (block === undefined) throw new Error("an empty pool has no block");
  const sandbox = {
    slot: block.slot,
    interfaceName: "probe",
    gateway: block.gateway,
    subnet: block.subnet,
    ipv6Subnet: block.ipv6.subnet,
    policy: {
      kind: "allow",
      privateRanges: [],
      publicRanges: [],
      names: [{ name: "example.com", subdomains: false, port: 443 }],
    },
  } as const;
  const rules =
    baseRuleset({ names, pools: [pool.range, pool.ipv6Range], closed: [], resolverPort: 61_000 }) +
    sandboxRuleset(names, sandbox, 61_000);
  try {
    await runTool(["unshare", "--net", "--", "nft", "-f", "-"], rules);
    return null;
  } catch (error) {
    return `Egress policies other than none can't be enforced (${errorMessage(error)}); give the executor the capabilities NET_ADMIN and SYS_ADMIN, and the kernel nftables.`;
  }
}

/** Debian's packages of those tools that can't be run. */
async function missingPackages(): Promise<readonly string[]> {
  const tools = [
    [["nft", "--version"], "nftables"],
    [["ip", "-Version"], "iproute2"],
    [["nsenter", "--version"], "util-linux"],
  ] as const;
  const found = await Promise.allSettled(tools.map(([command]) => runTool(command)));
  return tools.flatMap(([, name], index) => (found[index]?.status === "rejected" ? [name] : []));
}
