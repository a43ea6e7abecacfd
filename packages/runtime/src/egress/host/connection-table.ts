import type { HostNetwork } from "./host-network.ts";
import { runTool, ToolError } from "./run-tool.ts";

/** The kernel's information about the connection table of one network namespace. */
export interface ConnectionTable {
  /** Maximum number of entries. */
  readonly size: number;
  /** Current number of entries. */
  readonly used: number;
  /** Seconds for which the kernel keeps a closed TCP connection. */
  readonly closedSeconds: number;
}

/** For kernels that don't report it: the default with 1 GB of memory. */
const defaultSize = 32_768;
const defaultClosedSeconds = 120;

export async function readConnectionTable(network: HostNetwork): Promise<ConnectionTable> {
  const values = await network.readSysctls(
    "netfilter/nf_conntrack_max",
    "netfilter/nf_conntrack_count",
    "netfilter/nf_conntrack_tcp_timeout_time_wait",
    "netfilter/nf_conntrack_tcp_timeout_close",
  );
  const [size, used, timeWait, close] = values.map((value) => (value === "" ? Number.NaN : Number(value)));
  return {
    size: size || defaultSize,
    used: used || 0,
    closedSeconds: Math.max(timeWait || defaultClosedSeconds, close || 0),
  };
}

/**
 * Removes the connections of `sources`. Their sandboxes have ended without closing them, so the kernel would keep them
 * for hours. Needs the program `conntrack`.
 */
export async function forgetConnections(network: HostNetwork, sources: readonly string[]): Promise<void> {
  await Promise.all(
    sources.map(async (source) => {
      const family = source.includes(":") ? "ipv6" : "ipv4";
      try {
        await network.run("conntrack", "-D", "-f", family, "-s", source);
      } catch (error) {
        // conntrack fails when there is nothing to remove.
        if (!(error instanceof ToolError && error.stderr.includes("0 flow entries"))) throw error;
      }
    }),
  );
}

/** Whether {@link forgetConnections} works here. */
export async function canForgetConnections(): Promise<boolean> {
  try {
    await runTool(["conntrack", "--version"]);
    return true;
  } catch (error) {
    if (error instanceof ToolError) return false;
    throw error;
  }
}
