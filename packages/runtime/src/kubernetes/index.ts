export { buildPodAgent } from "./build-pod-agent.ts";
export { type ClusterFinding, inspectCluster } from "./inspect-cluster.ts";
export type { KubernetesRuntimeOptions } from "./kubernetes-runtime.ts";
export { type ClusterOptions, openKubernetesRuntime } from "./open-kubernetes-runtime.ts";
export * from "./pod-options.ts";
export { manifestOfRules } from "./required-rules.ts";
