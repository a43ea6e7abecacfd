import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { ClusterAccess } from "../kubernetes/start-cluster.ts";
import { engines } from "./engines.ts";
import { kubernetesFiles } from "./kubernetes-files.ts";

/** For the hook that calls {@link kubernetesCluster}: the first build on a machine takes minutes. */
export const clusterHookMs = 1_800_000;

/**
 * Waits for the run's Kubernetes cluster, which all suites share. The first call starts it.
 * @throws {Error} when it could not be built or started.
 */
export async function kubernetesCluster(): Promise<ClusterAccess> {
  const { kubernetes } = engines();
  if (!kubernetes) throw new Error("this run has no engine kubernetes");
  const { wanted, ready, failure } = kubernetesFiles(kubernetes.directory);
  await writeFile(join(kubernetes.directory, wanted), "");
  for (;;) {
    const access = await readFile(ready, "utf8").catch(() => undefined);
    if (access !== undefined) return JSON.parse(access) as ClusterAccess;
    const reason = await readFile(failure, "utf8").catch(() => undefined);
    if (reason !== undefined) throw new Error(reason);
    await sleep(100);
  }
}
