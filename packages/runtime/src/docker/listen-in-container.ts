import { closeSync, fstatSync, openSync, statSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import type { SandboxService } from "../contract/index.ts";
import { runtimeFailed } from "../contract/index.ts";
import { errorCode } from "../host/error-code.ts";
import type { NetworkCalls } from "../host/network-calls.ts";
import { ServiceListeners } from "../services/service-listeners.ts";

/**
 * Listens for a sandbox's services in the network namespace of a container that has just started.
 * @throws {AirlockError} reason `runtime` when this process does not see the container's processes.
 */
export async function listenInContainer(
  container: string,
  { calls, services }: { readonly calls: NetworkCalls; readonly services: readonly SandboxService[] },
): Promise<ServiceListeners> {
  const network = await openNetworkOf(container);
  try {
    return await ServiceListeners.open(calls, network, services);
  } finally {
    closeSync(network);
  }
}

/**
 * Finds the container's processes by their cgroup, whose name contains the container's id. The engine may run in a
 * process namespace of its own, so the ids that it reports may not be those that this process sees.
 */
async function openNetworkOf(container: string): Promise<number> {
  const own = statSync("/proc/self/ns/net").ino;
  for (const pid of (await readdir("/proc")).filter((name) => /^\d+$/.test(name))) {
    if (!(await isOf(pid, container))) continue;
    const network = openIfPresent(`/proc/${pid}/ns/net`);
    if (network === null) continue;
    // The id may have passed to another process meanwhile. No service may ever listen in the host's own network.
    if (fstatSync(network).ino !== own && (await isOf(pid, container))) return network;
    closeSync(network);
  }
  throw runtimeFailed(
    "the executor does not see the processes of the Docker engine's containers",
    undefined,
    "Run the executor in the process namespace of the engine's machine, or use the oci runtime for jobs with `upload`.",
  );
}

async function isOf(pid: string, container: string): Promise<boolean> {
  try {
    return (await readFile(`/proc/${pid}/cgroup`, "utf8")).includes(container);
  } catch (error) {
    if (hasEnded(error)) return false;
    throw error;
  }
}

function openIfPresent(path: string): number | null {
  try {
    return openSync(path, "r");
  } catch (error) {
    if (hasEnded(error)) return null;
    throw error;
  }
}

function hasEnded(error: unknown): boolean {
  return ["ENOENT", "ESRCH"].includes(errorCode(error) ?? "");
}
