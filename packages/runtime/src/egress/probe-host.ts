import { errorMessage } from "@airlock/job";
import { AddressPool, defaultPool } from "./addresses/address-pool.ts";
import { ownerNames } from "./host/names.ts";
import { runTool, ToolError } from "./host/run-tool.ts";
import { inside } from "./host/sandbox-link.ts";
import { baseRuleset } from "./rules/base-ruleset.ts";
import { connectionLimits } from "./rules/connection-limits.ts";
import { guestRuleset, guestTap } from "./rules/guest-ruleset.ts";
import { sandboxRuleset } from "./rules/sandbox-ruleset.ts";

const needs = "Egress policies other than none need";

export interface HostProbe {
  /** What does not work and how to fix it, in one sentence; `null` if everything works. */
  readonly problem: string | null;
  /** Whether the kernel and `nft` support separate timeouts for sandboxes' connections. */
  readonly hasTimeouts: boolean;
}

/**
 * Tests the host by loading the real rules, with a sandbox of each kind, into a temporary network namespace. Does not
 * change the host's own rules.
 */
export async function probeHost(): Promise<HostProbe> {
  const problem = await findProblem();
  if (problem !== null) return { problem, hasTimeouts: false };
  if ((await failureOfRules(true)) === null) return { problem: null, hasTimeouts: true };
  const failure = await failureOfRules(false);
  return { problem: failure === null ? null : explainRulesFailure(failure), hasTimeouts: false };
}

/**
 * Tests in a temporary network namespace whether a virtual machine can have a tap with its rules. Resolves to what does not work and how to fix it.
 */
export async function probeGuestLink(): Promise<string | null> {
  const what = "Virtual machines with a network need";
  const block = new AddressPool(defaultPool, ownerNames("probe").globalId).take([]);
  if (block === undefined) throw new Error("an empty pool has no block");
  const link = { interfaceName: "probe", alias: "", namespacePath: "", block, mtu: 1500, hasIpv6: true };
  const tap = await failureOf([...inNewNamespace, "ip", "tuntap", "add", "dev", guestTap, "mode", "tap"]);
  if (tap !== null) return `${what} a tap device (${tap}); load the module tun, and give the executor /dev/net/tun.`;
  const devices = `ip link add probe type veth peer name ${inside} && ip tuntap add dev ${guestTap} mode tap`;
  const rules = await failureOf([...inNewNamespace, "sh", "-c", `${devices} && exec nft -f -`], guestRuleset(link));
  if (rules !== null) {
    return `${what} rules between network devices (${rules}); load the module nft_fwd_netdev, or use a kernel that has it.`;
  }
  return null;
}

const inNewNamespace = ["unshare", "--net", "--"] as const;

async function findProblem(): Promise<string | null> {
  if (process.geteuid?.() !== 0) return `${needs} root; run the executor as root.`;
  const missing = await missingPackages();
  if (missing.length > 0) {
    return `${needs} ${missing.join(" and ")}; install ${missing.length > 1 ? "them" : "it"} and start the executor again.`;
  }
  const namespace = await failureOf([...inNewNamespace, "true"]);
  if (namespace !== null) {
    return `${needs} network namespaces, which the executor cannot create (${namespace}); give it the capability SYS_ADMIN.`;
  }
  const table = await failureOf([...inNewNamespace, "nft", "add table inet probe"]);
  if (table !== null) return explainTableFailure(table);
  const settings = await failureOf([...inNewNamespace, "test", "-w", "/proc/sys/net/ipv4/conf/lo/forwarding"]);
  if (settings !== null) {
    return `${needs} settings below /proc/sys/net, which can't be written; mount /proc/sys writable for the executor.`;
  }
  return null;
}

/** @param failure Message of `nft` when it can't create a table. */
export function explainTableFailure(failure: string): string {
  if (failure.includes("Operation not permitted")) {
    return `${needs} the capability NET_ADMIN (${failure}); give it to the executor.`;
  }
  return `${needs} a kernel with nftables (${failure}); load the module nf_tables, or use a kernel that has it.`;
}

/** @param failure Message of `nft` when it can create a table, but not the executor's rules. */
export function explainRulesFailure(failure: string): string {
  const [message = failure, rule = ""] = failure
    .split("\n")
    .map((line) => line.trim())
    .slice(failure.includes("Error:") ? failure.split("\n").findIndex((line) => line.includes("Error:")) : 0);
  const what = `${message.replace(/^.*?Error: /, "")}${rule === "" ? "" : ` in "${rule.slice(0, 200)}"`}`;
  if (message.includes("Could not process rule")) {
    return `${needs} something that the kernel does not support (${what}); load its modules of nftables (nft_ct, nft_connlimit, nft_limit, nft_masq, nft_redir, nft_reject_inet), or use a kernel that has them.`;
  }
  return `${needs} rules that this nft does not accept (${what}); install nftables 1.0 or later.`;
}

/** Resolves to a failing tool's message; `null` if it succeeds. */
async function failureOf(command: readonly string[], input = ""): Promise<string | null> {
  try {
    await runTool(command, input);
    return null;
  } catch (error) {
    if (error instanceof ToolError) return error.stderr.trim() || errorMessage(error);
    throw error;
  }
}

function failureOfRules(hasTimeouts: boolean): Promise<string | null> {
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
  const limits = connectionLimits({ size: 65_536, closedSeconds: 120 }, { hasTimeouts });
  const shared = { names, resolverPort: 61_000, limits };
  const base = baseRuleset({ ...shared, pools: [pool.range, pool.ipv6Range], closed: [], isPaused: true });
  return failureOf([...inNewNamespace, "nft", "-f", "-"], base + sandboxRuleset(shared, sandbox));
}

/** Names of the Debian packages of the tools that don't run. */
async function missingPackages(): Promise<readonly string[]> {
  const tools = [
    [["nft", "--version"], "nftables"],
    [["ip", "-Version"], "iproute2"],
    [["nsenter", "--version"], "util-linux"],
  ] as const;
  const found = await Promise.allSettled(tools.map(([command]) => runTool(command)));
  return tools.flatMap(([, name], index) => (found[index]?.status === "rejected" ? [name] : []));
}
