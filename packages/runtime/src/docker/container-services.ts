import { closeSync, openSync } from "node:fs";
import { readFile } from "node:fs/promises";
import type { SandboxService } from "../contract/index.ts";
import { runtimeFailed } from "../contract/index.ts";
import { errorCode } from "../host/error-code.ts";
import type { NetworkCalls } from "../host/network-calls.ts";
import { ServiceListeners } from "../services/service-listeners.ts";
import type { EngineClient } from "./engine-client.ts";
import { inspectContainer } from "./made-container.ts";

/**
 * Listens for a sandbox's services in the network namespace of a running container.
 * @throws {AirlockError} reason `runtime` when the container has ended, or when this process does not see it.
 */
export async function listenInContainer(
  engine: EngineClient,
  container: string,
  { calls, services }: { readonly calls: NetworkCalls; readonly services: readonly SandboxService[] },
): Promise<ServiceListeners> {
  const pid = (await inspectContainer(engine, container))?.Pid ?? 0;
  if (pid === 0) throw runtimeFailed("the container ended before its network was ready");
  const network = openNetworkOf(pid);
  try {
    // The id may belong to another process meanwhile. It stays the container's as long as the container runs.
    const isStill = (await inspectContainer(engine, container))?.Pid === pid;
    if (!isStill || !(await belongsTo(pid, container))) throw unseen();
    return await ServiceListeners.open(calls, network, services);
  } finally {
    closeSync(network);
  }
}

function openNetworkOf(pid: number): number {
  try {
    return openSync(`/proc/${pid}/ns/net`, "r");
  } catch (error) {
    throw unseen(error);
  }
}

async function belongsTo(pid: number, container: string): Promise<boolean> {
  try {
    return (await readFile(`/proc/${pid}/cgroup`, "utf8")).includes(container);
  } catch (error) {
    if (["ENOENT", "ESRCH"].includes(errorCode(error) ?? "")) return false;
    throw error;
  }
}

function unseen(cause?: unknown) {
  return runtimeFailed(
    "the executor does not see the processes of the Docker engine's containers",
    cause,
    "Run the executor in the process namespace of the engine's machine, or use the oci runtime for jobs with `upload`.",
  );
}
