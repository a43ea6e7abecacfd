import type { Runtime } from "../contract/index.ts";
import { createKubernetesRuntime, type KubernetesRuntimeOptions } from "./kubernetes-runtime.ts";
import { loadClusterConfig } from "./load-cluster-config.ts";

/** Settings of the runtime, and how to reach the cluster. */
export interface ClusterOptions extends Omit<KubernetesRuntimeOptions, "config"> {
  /** Absolute path. Default: `~/.kube/config` if it exists, else the service account of the pod. */
  readonly kubeconfig?: string;
}

/** @throws {AirlockError} code `invalid-configuration` without a usable way to the cluster. */
export async function openKubernetesRuntime({ kubeconfig, ...options }: ClusterOptions): Promise<Runtime> {
  return createKubernetesRuntime({ ...options, config: await loadClusterConfig(kubeconfig) });
}
