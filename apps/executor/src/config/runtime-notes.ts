import type { Config } from "./options.ts";
import { hardeningVariables } from "./variables/hardening.ts";
import { kubernetesVariables } from "./variables/kubernetes.ts";

/** Variables that count only for virtual machines. */
const onlyMachines = [
  "EXECUTOR_VM_MONITOR",
  "EXECUTOR_VM_ACCELERATOR",
  "EXECUTOR_FIRECRACKER",
  "EXECUTOR_JAILER",
  "EXECUTOR_QEMU",
  "EXECUTOR_VM_PREFIX",
  "EXECUTOR_VM_STARTUP_SCRIPT_PATH",
  "EXECUTOR_FIRECRACKER_BANDWIDTH_INGRESS",
  "EXECUTOR_FIRECRACKER_BANDWIDTH_EGRESS",
] as const;

/** Variables that count only for containers of this machine. */
const onlyContainers = [
  "EXECUTOR_DOCKER_RUNTIME",
  "EXECUTOR_OCI_RUNTIME",
  "EXECUTOR_RUNSC_PLATFORM",
  "EXECUTOR_RUNSC_NETWORK",
  "EXECUTOR_ALLOW_HOST_IMAGE",
  "EXECUTOR_DOCKER_ADD_HOST_GATEWAY",
  "EXECUTOR_SANDBOX_ID_COUNT",
] as const;

const usedInPods: ReadonlySet<string> = new Set(["EXECUTOR_SANDBOX_SECCOMP"]);

/** Variables that the kubernetes runtime does not use, and what does the same there. */
const notInPods: readonly (readonly [names: readonly string[], why: string])[] = [
  [onlyMachines, "has no effect without EXECUTOR_RUNTIME=microvm"],
  [onlyContainers, "has no effect in pods"],
  [
    Object.keys(hardeningVariables).filter((name) => !usedInPods.has(name) && name !== "EXECUTOR_SANDBOX_ID_COUNT"),
    "has no effect in pods: EXECUTOR_KUBERNETES_POD_SECURITY chooses their isolation",
  ],
  [
    ["EXECUTOR_DOCKER_REGISTRY_MIRROR_URL", "EXECUTOR_REGISTRY_CERTS_DIR", "EXECUTOR_IMAGE_CACHE_SIZE"],
    "has no effect in pods: the nodes pull and remove images by their own settings",
  ],
  [["DOCKER_CONFIG"], "has no effect in pods: use KUBERNETES_IMAGE_PULL_SECRETS or EXECUTOR_DOCKER_AUTH_CONFIG"],
  [["EXECUTOR_EGRESS_POOL"], "has no effect in pods: the cluster gives them addresses"],
  [["EXECUTOR_KEEP_WORKSPACES"], "has no effect in pods: they are deleted with their workspaces"],
  [["DOCKER_HOST", "EXECUTOR_VM_POOL_SIZE"], "has no effect in pods"],
];

/** Notes on variables that are set and that the chosen runtime does not use. */
export function notesOnRuntime(
  kind: Config["runtime"]["kind"],
  given: Readonly<Record<string, string | undefined>>,
): string[] {
  const onlyPods = [Object.keys(kubernetesVariables), "has no effect without EXECUTOR_RUNTIME=kubernetes"] as const;
  const unused =
    kind === "kubernetes"
      ? notInPods
      : kind === "microvm"
        ? [[[...onlyContainers, "EXECUTOR_UNENFORCED_LIMITS"], "has no effect in virtual machines"] as const, onlyPods]
        : [[onlyMachines, "has no effect without EXECUTOR_RUNTIME=microvm"] as const, onlyPods];
  const notes = unused.flatMap(([names, why]) =>
    names.filter((name) => given[name] !== undefined).map((name) => `${name} ${why}.`),
  );
  return kind === "kubernetes" ? [...notes, ...notesOnPods(given)] : notes;
}

/** Notes on pairs of variables of which one replaces the other. */
function notesOnPods(given: Readonly<Record<string, string | undefined>>): string[] {
  const replaced = [
    ["EXECUTOR_JOB_NUM_CPUS", "EXECUTOR_KUBERNETES_RESOURCE_LIMIT_CPU"],
    ["EXECUTOR_JOB_MEMORY", "EXECUTOR_KUBERNETES_RESOURCE_LIMIT_MEMORY"],
    ["EXECUTOR_JOB_DISK", "KUBERNETES_JOB_VOLUME_SIZE"],
    ["EXECUTOR_IMAGE_PULL_POLICY", "KUBERNETES_IMAGE_PULL_POLICY"],
    [
      "EXECUTOR_KUBERNETES_NODE_REQUIRED_AFFINITY_MATCH_EXPRESSION",
      "EXECUTOR_KUBERNETES_NODE_REQUIRED_AFFINITY_MATCH_EXPRESSIONS",
    ],
  ] as const;
  return replaced
    .filter(([old, by]) => given[old] !== undefined && given[by] !== undefined)
    .map(([old, by]) => `${old} has no effect, because ${by} is set, too.`);
}
