import { accessSync } from "node:fs";
import { rename, watch, writeFile } from "node:fs/promises";
import { errorMessage } from "@airlock/job";
import { findExecutable } from "../host/find-executable.ts";
import { temporaryDirectory } from "../host/temporary-directory.ts";
import { buildCluster } from "../kubernetes/build-cluster.ts";
import { requireGo } from "../kubernetes/find-go.ts";
import { startCluster } from "../kubernetes/start-cluster.ts";
import { kubernetesFiles } from "./kubernetes-files.ts";

export interface KubernetesEngine extends AsyncDisposable {
  readonly directory: string;
}

/** Programs that the cluster's node needs, by their Debian package. */
const tools = [
  ["containerd", "containerd"],
  ["runc", "runc"],
  ["iptables", "iptables"],
  ["ipset", "ipset"],
  ["conntrack", "conntrack"],
  ["busybox", "busybox-static"],
] as const;

/**
 * Checks whether this machine can have the test cluster. The cluster is built and started when the first suite asks for
 * it, by `kubernetesCluster`.
 * @throws {Error} that says what is missing.
 */
export async function startKubernetesEngine(): Promise<KubernetesEngine> {
  if (process.getuid?.() !== 0) throw new Error("needs root");
  for (const [program, name] of tools) {
    if (!findExecutable(program)) throw new Error(`not installed: apt-get install -y ${name}`);
  }
  requireNetworkPlugins();
  await requireGo();
  await using cleanup = new AsyncDisposableStack();
  const { path: directory } = cleanup.use(await temporaryDirectory("airlock-k8s-"));
  const stop = new AbortController();
  const running = runWhenWanted(directory, stop.signal);
  cleanup.defer(async () => {
    stop.abort();
    await running;
  });
  const owned = cleanup.move();
  return { directory, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

function requireNetworkPlugins(): void {
  try {
    accessSync("/usr/lib/cni/ptp");
  } catch {
    throw new Error("not installed: apt-get install -y containernetworking-plugins");
  }
}

async function runWhenWanted(directory: string, signal: AbortSignal): Promise<void> {
  const { ready, failure, wanted } = kubernetesFiles(directory);
  try {
    await untilPresent(directory, wanted, signal);
    await using cluster = await startCluster(await buildCluster({ signal }));
    const { kubeconfigPath, hostAddress, initPid, program } = cluster;
    await writeFile(`${ready}.making`, JSON.stringify({ kubeconfigPath, hostAddress, initPid, program }));
    await rename(`${ready}.making`, ready);
    await new Promise<void>((resolve) => {
      if (signal.aborted) resolve();
      else signal.addEventListener("abort", () => resolve(), { once: true });
    });
  } catch (error) {
    if (!signal.aborted) await writeFile(failure, errorMessage(error));
  }
}

async function untilPresent(directory: string, name: string, signal: AbortSignal): Promise<void> {
  for await (const { filename } of watch(directory, { signal })) if (filename === name) return;
}
