import type { PodOptions } from "@airlock/runtime/kubernetes";
import type { z } from "zod";
import type { Environment } from "./environment.ts";
import type { KubernetesOptions } from "./options.ts";

type Variables = z.output<typeof Environment>;
type Given = Readonly<Record<string, string | undefined>>;

/** A user that has no rights on any node. */
const defaultUid = 1000;
/** How long a pod outlives its executor, which may have to restart on another node. */
const abandonSeconds = 600;
const pullPolicies = { always: "Always", never: "Never", "if-not-present": "IfNotPresent" } as const;

/** What `EXECUTOR_RUNTIME=auto` means in a pod whose administrator has set up Kubernetes for jobs. */
export function prefersKubernetes(given: Given): boolean {
  const { KUBERNETES_SERVICE_HOST: isPod, EXECUTOR_KUBERNETES_AGENT_IMAGE: agent, DOCKER_HOST: docker } = given;
  return Boolean(isPod && agent && !docker);
}

/** Problems between variables that only the kubernetes runtime has. */
export function kubernetesProblems(given: Given): string[] {
  const problems: string[] = [];
  if (!given.EXECUTOR_KUBERNETES_AGENT_IMAGE)
    problems.push(
      "EXECUTOR_KUBERNETES_AGENT_IMAGE is not set: name the image airlock-helper of this version, see docs/kubernetes.md",
    );
  const { KUBERNETES_RUN_AS_USER: user, KUBERNETES_RUN_AS_GROUP: group } = given;
  const isBaseline = given.EXECUTOR_KUBERNETES_POD_SECURITY === "baseline";
  if (user === "0" && !isBaseline)
    problems.push(
      "KUBERNETES_RUN_AS_USER asks for root, which the restricted Pod Security Standard does not allow: unset it and set EXECUTOR_KUBERNETES_POD_SECURITY=baseline, with which steps run as the user of their image",
    );
  for (const [name, value] of Object.entries({ KUBERNETES_RUN_AS_USER: user, KUBERNETES_RUN_AS_GROUP: group })) {
    if (isBaseline && value && value !== "-1")
      problems.push(
        `${name} and EXECUTOR_KUBERNETES_POD_SECURITY=baseline are both set, but with baseline steps run as the user of their image: unset one of them`,
      );
  }
  for (const name of ["EXECUTOR_JOB_NUM_CPUS", "EXECUTOR_JOB_MEMORY"] as const) {
    const replaced = name === "EXECUTOR_JOB_MEMORY" ? "LIMIT_MEMORY" : "LIMIT_CPU";
    if (/^0+(?:\.0+)?$/.test(given[name] ?? "") && !given[`EXECUTOR_KUBERNETES_RESOURCE_${replaced}`])
      problems.push(`${name} must not be 0 with Kubernetes, where nodes have different sizes: set a limit`);
  }
  if (given.EXECUTOR_KUBERNETES_STORAGE_CLASS && given.KUBERNETES_JOB_VOLUME_TYPE !== "pvc")
    problems.push("EXECUTOR_KUBERNETES_STORAGE_CLASS is set, which needs KUBERNETES_JOB_VOLUME_TYPE=pvc");
  return problems;
}

/** Problems between volumes and their mounts. */
export function volumeProblems(e: Variables): string[] {
  const volumes = (e.KUBERNETES_ADDITIONAL_JOB_VOLUMES ?? []).map(({ name }) => name);
  const mounts = e.KUBERNETES_ADDITIONAL_JOB_VOLUME_MOUNTS ?? [];
  const twice = volumes.filter((name, index) => volumes.indexOf(name) !== index);
  const paths = mounts.map(({ mountPath }) => mountPath);
  return [
    ...twice.map((name) => `KUBERNETES_ADDITIONAL_JOB_VOLUMES has two volumes with the name "${name}"`),
    ...mounts
      .filter(({ name }) => !volumes.includes(name))
      .map(
        ({ name }) =>
          `KUBERNETES_ADDITIONAL_JOB_VOLUME_MOUNTS mounts "${name}", which is not in KUBERNETES_ADDITIONAL_JOB_VOLUMES`,
      ),
    ...paths
      .filter((path, index) => paths.indexOf(path) !== index)
      .map((path) => `KUBERNETES_ADDITIONAL_JOB_VOLUME_MOUNTS has two mounts at "${path}"`),
  ];
}

/** The settings of the kubernetes runtime. */
export function kubernetesOptions(e: Variables, given: Given): KubernetesOptions {
  return {
    kubeconfig: e.EXECUTOR_KUBERNETES_CONFIG_PATH ?? null,
    namespace: e.EXECUTOR_KUBERNETES_NAMESPACE,
    schedulingMs: e.EXECUTOR_KUBERNETES_SCHEDULING_TIMEOUT,
    startingMs: e.EXECUTOR_KUBERNETES_START_TIMEOUT,
    openNetworks: e.EXECUTOR_KUBERNETES_OPEN_NETWORKS,
    pods: podOptions(e, given),
  };
}

function podOptions(e: Variables, given: Given): PodOptions {
  const isRestricted = e.EXECUTOR_KUBERNETES_POD_SECURITY === "restricted";
  const fsGroup = e.KUBERNETES_FS_GROUP ?? (isRestricted ? defaultUid : undefined);
  const gid = e.KUBERNETES_RUN_AS_GROUP ?? fsGroup ?? defaultUid;
  // Given explicitly, because its default is for machines with images of their own.
  const ownPolicy = given.EXECUTOR_IMAGE_PULL_POLICY ? pullPolicies[e.EXECUTOR_IMAGE_PULL_POLICY] : "Always";
  const diskBytes = e.KUBERNETES_JOB_VOLUME_SIZE ?? e.EXECUTOR_JOB_DISK ?? defaultClaimBytes;
  return {
    agentImage: e.EXECUTOR_KUBERNETES_AGENT_IMAGE ?? "",
    pullPolicy: "IfNotPresent",
    stepPullPolicy: e.KUBERNETES_IMAGE_PULL_POLICY ?? ownPolicy,
    imagePullSecrets: e.KUBERNETES_IMAGE_PULL_SECRETS ?? [],
    user: isRestricted ? { kind: "restricted", uid: e.KUBERNETES_RUN_AS_USER ?? defaultUid, gid } : { kind: "image" },
    ...(fsGroup === undefined ? {} : { fsGroup }),
    requests: {
      ...optional("cpus", e.EXECUTOR_KUBERNETES_RESOURCE_REQUEST_CPU),
      ...optional("memoryBytes", e.EXECUTOR_KUBERNETES_RESOURCE_REQUEST_MEMORY),
    },
    abandonSeconds,
    placement: placement(e),
    ...optional("serviceAccount", e.EXECUTOR_KUBERNETES_SERVICE_ACCOUNT),
    annotations: { ...e.KUBERNETES_JOB_ANNOTATIONS, ...e.KUBERNETES_JOB_POD_ANNOTATIONS },
    ...(e.KUBERNETES_JOB_VOLUME_TYPE === "pvc"
      ? {
          workspaceClaim: {
            bytes: diskBytes || defaultClaimBytes,
            ...optional("storageClass", e.EXECUTOR_KUBERNETES_STORAGE_CLASS),
          },
        }
      : {}),
    volumes: e.KUBERNETES_ADDITIONAL_JOB_VOLUMES ?? [],
    volumeMounts: e.KUBERNETES_ADDITIONAL_JOB_VOLUME_MOUNTS ?? [],
  };
}

function placement(e: Variables): NonNullable<PodOptions["placement"]> {
  const matchExpressions =
    e.EXECUTOR_KUBERNETES_NODE_REQUIRED_AFFINITY_MATCH_EXPRESSIONS ??
    e.EXECUTOR_KUBERNETES_NODE_REQUIRED_AFFINITY_MATCH_EXPRESSION ??
    [];
  const matchFields = e.EXECUTOR_KUBERNETES_NODE_REQUIRED_AFFINITY_MATCH_FIELDS ?? [];
  return {
    ...optional("nodeName", e.EXECUTOR_KUBERNETES_NODE_NAME),
    ...optional("nodeSelector", e.EXECUTOR_KUBERNETES_NODE_SELECTOR),
    nodeTerm: { matchExpressions, matchFields },
    ...optional("podAffinity", e.EXECUTOR_KUBERNETES_POD_AFFINITY),
    ...optional("podAntiAffinity", e.EXECUTOR_KUBERNETES_POD_ANTI_AFFINITY),
    ...optional("tolerations", e.EXECUTOR_KUBERNETES_NODE_TOLERATIONS),
    ...optional("priorityClass", e.EXECUTOR_KUBERNETES_PRIORITY_CLASS),
    ...optional("runtimeClass", e.EXECUTOR_KUBERNETES_RUNTIME_CLASS),
  };
}

/** The protocol's default. */
const defaultClaimBytes = 5 * 2 ** 30;

function optional<Name extends string, Value>(
  name: Name,
  value: Value | undefined,
): { readonly [key in Name]?: Value } {
  return (value === undefined ? {} : { [name]: value }) as { readonly [key in Name]?: Value };
}
