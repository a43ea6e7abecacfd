import { leastResources } from "@airlock/job";
import { z } from "zod";
import { DurationMs, flag, SizeBytes } from "../values/environment-values.ts";
import {
  Annotations,
  CpuQuantity,
  jsonOf,
  NodeExpressions,
  NodeFields,
  NodeSelector,
  ObjectNames,
  objectName,
  PodTerms,
  Tolerations,
  UserId,
  VolumeMounts,
  Volumes,
} from "../values/kubernetes-values.ts";

const term = '[{"key":"example.com/pool","operator":"In","values":["jobs"]}]';
const podTerm = '[{"topologyKey":"kubernetes.io/hostname","labelSelector":{"matchLabels":{"app":"x"}}}]';
const pullPolicies = ["Always", "IfNotPresent", "Never"] as const;

/** Pods of the kubernetes runtime. */
export const kubernetesVariables = {
  EXECUTOR_KUBERNETES_AGENT_IMAGE: z.string().regex(/^\S+$/, "must be the name of an image").optional().meta({
    description:
      "The image with Airlock's agent, `airlock-helper` of the executor's version. It is the first container of each pod. Required for EXECUTOR_RUNTIME=kubernetes.",
    values: "an image",
  }),
  EXECUTOR_KUBERNETES_CONFIG_PATH: z.string().startsWith("/", "must be an absolute path").optional().meta({
    description: "The kubeconfig file with which the executor reaches the cluster.",
    default: "~/.kube/config if it exists, else the service account of the executor's pod",
    values: "an absolute path",
  }),
  EXECUTOR_KUBERNETES_NAMESPACE: objectName("airlock-jobs").default("default").meta({
    description: "The namespace of the pods of jobs. Several executors may share it.",
    values: "a name",
  }),
  EXECUTOR_KUBERNETES_POD_SECURITY: z
    .enum(["restricted", "baseline"], { error: "must be restricted or baseline" })
    .default("restricted")
    .meta({
      description:
        "The Pod Security Standard that pods of jobs fulfil. `restricted`: all steps run as one user that is not root and without capabilities. `baseline`: steps run as the user of their image, which may be root in the container.",
    }),
  EXECUTOR_KUBERNETES_RUNTIME_CLASS: objectName("gvisor").optional().meta({
    description: "The RuntimeClass of the pods, for example of gVisor or Kata Containers.",
    default: "the cluster's own",
    values: "a name",
  }),
  EXECUTOR_KUBERNETES_PRIORITY_CLASS: objectName("jobs").optional().meta({
    description: "The PriorityClass of the pods.",
    default: "the cluster's own",
    values: "a name",
  }),
  EXECUTOR_KUBERNETES_SERVICE_ACCOUNT: objectName("jobs").optional().meta({
    description: "The service account of the pods. Steps never get its token.",
    default: "the namespace's own",
    values: "a name",
  }),
  EXECUTOR_KUBERNETES_OPEN_NETWORKS: z
    .enum(["refuse", "allow"], { error: "must be refuse or allow" })
    .default("refuse")
    .meta({
      description:
        "What happens to a job whose pod reaches addresses that its egress policy closes: `refuse` it, or run it with that network (`allow`). Only for clusters without a network plugin that enforces NetworkPolicies.",
    }),
  EXECUTOR_KUBERNETES_SCHEDULING_TIMEOUT: z
    .string()
    .default("2m")
    .pipe(DurationMs.refine((ms) => ms > 0, "must be longer than 0"))
    .meta({
      description:
        "How long a pod may wait for a node, for example until the cluster has added one. The job's log tells at once why it waits. Then another executor retries the job.",
    }),
  EXECUTOR_KUBERNETES_START_TIMEOUT: z
    .string()
    .default("2m")
    .pipe(DurationMs.refine((ms) => ms > 0, "must be longer than 0"))
    .meta({
      description:
        "How long a pod's agent may take to start on its node, which may have to pull the agent's image first. Then another executor retries the job.",
    }),
  EXECUTOR_KUBERNETES_NODE_NAME: objectName("node-1").optional().meta({
    description: "The only node that runs pods. They wait while it is full.",
    values: "a name",
  }),
  EXECUTOR_KUBERNETES_NODE_SELECTOR: NodeSelector.optional().meta({
    description: "Labels that the nodes of pods must have.",
  }),
  EXECUTOR_KUBERNETES_NODE_REQUIRED_AFFINITY_MATCH_EXPRESSIONS: jsonOf(NodeExpressions, term).optional().meta({
    description: "What the labels of the nodes of pods must fulfil: all of it.",
  }),
  EXECUTOR_KUBERNETES_NODE_REQUIRED_AFFINITY_MATCH_EXPRESSION: jsonOf(NodeExpressions, term).optional().meta({
    description: "Another spelling of EXECUTOR_KUBERNETES_NODE_REQUIRED_AFFINITY_MATCH_EXPRESSIONS.",
  }),
  EXECUTOR_KUBERNETES_NODE_REQUIRED_AFFINITY_MATCH_FIELDS: jsonOf(
    NodeFields,
    '[{"key":"metadata.name","operator":"NotIn","values":["node-1"]}]',
  )
    .optional()
    .meta({ description: "What the fields of the nodes of pods must fulfil: all of it." }),
  EXECUTOR_KUBERNETES_POD_AFFINITY: jsonOf(PodTerms, podTerm)
    .optional()
    .meta({ description: "Pods that must run near the pods of jobs." }),
  EXECUTOR_KUBERNETES_POD_ANTI_AFFINITY: jsonOf(PodTerms, podTerm)
    .optional()
    .meta({ description: "Pods that must not run near the pods of jobs." }),
  EXECUTOR_KUBERNETES_NODE_TOLERATIONS: jsonOf(
    Tolerations,
    '[{"key":"jobs","operator":"Exists","effect":"NoSchedule"}]',
  )
    .optional()
    .meta({ description: "Taints of nodes that don't keep pods of jobs away." }),
  EXECUTOR_KUBERNETES_RESOURCE_LIMIT_CPU: CpuQuantity.refine(
    (cpus) => cpus >= leastResources.cpus,
    `must be at least ${leastResources.cpus}`,
  )
    .optional()
    .meta({ description: "CPU of one job, instead of EXECUTOR_JOB_NUM_CPUS.", default: "EXECUTOR_JOB_NUM_CPUS" }),
  EXECUTOR_KUBERNETES_RESOURCE_LIMIT_MEMORY: SizeBytes.refine(
    (bytes) => bytes >= leastResources.memoryBytes,
    `must be at least ${leastResources.memoryBytes} bytes`,
  )
    .optional()
    .meta({ description: "Memory of one job, instead of EXECUTOR_JOB_MEMORY.", default: "EXECUTOR_JOB_MEMORY" }),
  EXECUTOR_KUBERNETES_RESOURCE_REQUEST_CPU: CpuQuantity.optional().meta({
    description: "CPU that the scheduler reserves for a job, at most the job's limit.",
    default: "the job's limit",
  }),
  EXECUTOR_KUBERNETES_RESOURCE_REQUEST_MEMORY: SizeBytes.optional().meta({
    description: "Memory that the scheduler reserves for a job, at most the job's limit.",
    default: "the job's limit",
  }),
  KUBERNETES_JOB_DEADLINE: z
    .string()
    .regex(/^[1-9]\d{0,7}$/, "must be a whole number of seconds, 1 or more")
    .transform(Number)
    .optional()
    .meta({
      description:
        "Sourcegraph's limit of the duration of a job, in seconds. The shorter one of it and EXECUTOR_MAXIMUM_RUNTIME_PER_JOB counts.",
      default: "EXECUTOR_MAXIMUM_RUNTIME_PER_JOB",
      values: "seconds",
    }),
  KUBERNETES_RUN_AS_USER: UserId.optional().meta({
    description: "User of all steps with EXECUTOR_KUBERNETES_POD_SECURITY=restricted.",
    default: "1000",
  }),
  KUBERNETES_RUN_AS_GROUP: UserId.optional().meta({
    description: "Group of all steps with EXECUTOR_KUBERNETES_POD_SECURITY=restricted.",
    default: "that of KUBERNETES_FS_GROUP",
  }),
  KUBERNETES_FS_GROUP: UserId.optional().meta({
    description: "Group of the files in volumes.",
    default: "1000; none with `baseline`",
  }),
  KUBERNETES_JOB_VOLUME_TYPE: z
    .enum(["emptyDir", "pvc"], { error: "must be emptyDir or pvc" })
    .default("emptyDir")
    .meta({
      description:
        "Where the workspace of a job is: on the disk of its node, or in a claim of its own that Kubernetes deletes with the pod.",
    }),
  KUBERNETES_JOB_VOLUME_SIZE: SizeBytes.refine(
    (bytes) => bytes >= leastResources.diskBytes,
    `must be at least ${leastResources.diskBytes} bytes`,
  )
    .optional()
    .meta({ description: "Size of that volume, instead of EXECUTOR_JOB_DISK.", default: "EXECUTOR_JOB_DISK" }),
  EXECUTOR_KUBERNETES_STORAGE_CLASS: objectName("fast").optional().meta({
    description: "StorageClass of the claims of KUBERNETES_JOB_VOLUME_TYPE=pvc.",
    default: "the cluster's own",
    values: "a name",
  }),
  KUBERNETES_ADDITIONAL_JOB_VOLUMES: jsonOf(
    Volumes,
    '[{"name":"cache","persistentVolumeClaim":{"claimName":"cache","readOnly":true}}]',
  )
    .optional()
    .meta({
      description:
        "More volumes of each pod. All jobs share a claim, so a writable one lets them change each other's files.",
    }),
  KUBERNETES_ADDITIONAL_JOB_VOLUME_MOUNTS: jsonOf(
    VolumeMounts,
    '[{"name":"cache","mountPath":"/cache","readOnly":true}]',
  )
    .optional()
    .meta({ description: "Where steps find those volumes." }),
  KUBERNETES_JOB_ANNOTATIONS: jsonOf(Annotations, '{"example.com/team":"a"}').optional().meta({
    description: "Annotations of the pods, because there are no Job objects here.",
  }),
  KUBERNETES_JOB_POD_ANNOTATIONS: jsonOf(Annotations, '{"example.com/team":"a"}').optional().meta({
    description: "Annotations of the pods. They take precedence over KUBERNETES_JOB_ANNOTATIONS.",
  }),
  KUBERNETES_IMAGE_PULL_SECRETS: ObjectNames.optional().meta({
    description: "Secrets of the namespace with credentials for registries, for the images of steps and of the agent.",
  }),
  KUBERNETES_IMAGE_PULL_POLICY: z
    .enum(pullPolicies, { error: `must be ${pullPolicies.join(", ")}` })
    .optional()
    .meta({
      description:
        "When nodes pull the images of steps. `IfNotPresent` gives a private image that one job has pulled to all jobs that name it; `Always` asks the registry each time, and transfers only what is missing.",
      default: "EXECUTOR_IMAGE_PULL_POLICY if it is set, else `Always`",
    }),
  KUBERNETES_JOB_HOST_NETWORK: flag(false)
    .refine((use) => !use, "is not supported: steps would have the network of the node. Unset it")
    .meta({ description: "Refused if true, because steps would have the network of their node." }),
};
