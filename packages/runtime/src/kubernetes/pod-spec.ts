import type {
  V1Affinity,
  V1Container,
  V1EphemeralContainer,
  V1Pod,
  V1SecurityContext,
  V1Volume,
  V1VolumeMount,
} from "@kubernetes/client-node";
import { shmSize } from "../contract/check-limits.ts";
import type { SandboxLimits, SandboxPlan } from "../contract/sandbox-plan.ts";
import { defaultCapabilities } from "../isolation/hardening.ts";
import { agentContainer } from "./connect-agent.ts";
import { egressLabel, labelOf, ownerLabel, podName, sandboxAnnotation, sandboxLabel } from "./pod-names.ts";
import type { PodOptions, PodPlacement } from "./pod-options.ts";
import { pullSecretName } from "./pull-secret.ts";

const mebibyte = 2 ** 20;
/** What the agent and the pod's sandbox need beside the job. */
const agentBytes = 24 * mebibyte;
const agentMillicores = 50;

const workspaceMount: V1VolumeMount = { name: "workspace", mountPath: "/run/airlock/workspace/data" };

/** The pod of one sandbox. Its steps are added later, as ephemeral containers. */
export function makePod(plan: SandboxPlan, options: PodOptions): V1Pod {
  const { limits } = plan;
  const { placement = {}, serviceAccount } = options;
  const name = podName(plan);
  const ownSecret = pullSecretName(name, plan.registryAuth);
  // The kubelet tries the job's own credentials first.
  const pullSecrets = [...(ownSecret === null ? [] : [ownSecret]), ...(options.imagePullSecrets ?? [])];
  const agent: V1Container = {
    name: agentContainer,
    image: options.agentImage,
    imagePullPolicy: options.pullPolicy,
    command: ["/agent", "serve", String(options.abandonSeconds), ...(plan.egress.kind === "none" ? [] : ["names"])],
    // The limits of the pod's only ordinary container are those of the pod, and so of all its steps together.
    resources: {
      limits: { ...amounts(limits), ...diskLimit(limits) },
      requests: { ...amounts(requestsOf(limits, options)), ...(limits.diskBytes === undefined ? {} : noDisk) },
    },
    securityContext: agentContext(options),
    volumeMounts: [
      workspaceMount,
      { name: "files", mountPath: "/run/airlock/files/step" },
      { name: "tools", mountPath: "/run/airlock/tools" },
      { name: "control", mountPath: "/run/airlock/control" },
    ],
  };
  const inMemory = (size: number) => ({ medium: "Memory", sizeLimit: String(size) });
  const { nodeSelector, tolerations, priorityClass, runtimeClass } = placement;
  const affinity = affinityOf(placement);
  return {
    metadata: {
      name,
      labels: {
        [ownerLabel]: labelOf(plan.owner),
        [sandboxLabel]: labelOf(plan.id),
        [egressLabel]: plan.egress.kind,
      },
      annotations: { ...options.annotations, [sandboxAnnotation]: plan.id },
    },
    spec: {
      restartPolicy: "Never",
      automountServiceAccountToken: false,
      ...(serviceAccount === undefined ? {} : { serviceAccountName: serviceAccount }),
      enableServiceLinks: false,
      ...(pullSecrets.length === 0 ? {} : { imagePullSecrets: pullSecrets.map((secret) => ({ name: secret })) }),
      ...(nodeSelector === undefined ? {} : { nodeSelector: { ...nodeSelector } }),
      ...(tolerations === undefined ? {} : { tolerations: [...tolerations] }),
      ...(affinity === undefined ? {} : { affinity }),
      ...(priorityClass === undefined ? {} : { priorityClassName: priorityClass }),
      ...(runtimeClass === undefined ? {} : { runtimeClassName: runtimeClass }),
      terminationGracePeriodSeconds: 1,
      // Programs look up their own host name, also without a network.
      hostname: name.slice(0, 63),
      hostAliases: [{ ip: "127.0.0.1", hostnames: [name.slice(0, 63)] }],
      // Only the executor answers names, through the agent. The cluster's DNS would pass on what steps write into names.
      dnsPolicy: "None",
      dnsConfig: { nameservers: ["127.0.0.1"] },
      securityContext: {
        seccompProfile: { type: "RuntimeDefault" },
        sysctls: [{ name: "net.ipv4.ip_unprivileged_port_start", value: "0" }],
        ...userOf(options),
      },
      containers: [agent],
      volumes: [
        workspaceVolume(limits, options),
        // Secrets are among these files, so they are never on a disk.
        { name: "files", emptyDir: inMemory(64 * mebibyte) },
        { name: "tools", emptyDir: inMemory(mebibyte) },
        { name: "control", emptyDir: inMemory(mebibyte) },
        { name: "shm", emptyDir: inMemory(shmSize(limits)) },
        ...(options.volumes ?? []).map((volume) => ({ ...volume, name: ownName(volume) })),
      ],
    },
  };
}

/** What all containers of a pod may write, together with the workspace if it is on the node's disk. */
function diskLimit({ diskBytes }: SandboxLimits) {
  return diskBytes === undefined ? {} : { "ephemeral-storage": String(Math.ceil(diskBytes)) };
}

/** Without it the scheduler would reserve the whole limit. */
const noDisk = { "ephemeral-storage": "0" };

/** The API server refuses requests above the limits. */
function requestsOf(limits: SandboxLimits, { requests = {} }: PodOptions) {
  return {
    cpus: Math.min(requests.cpus ?? limits.cpus, limits.cpus),
    memoryBytes: Math.min(requests.memoryBytes ?? limits.memoryBytes, limits.memoryBytes),
  };
}

function userOf({ user, fsGroup }: PodOptions) {
  const ofGroup = fsGroup === undefined ? {} : { fsGroup };
  if (user.kind === "image") return ofGroup;
  return { runAsNonRoot: true, runAsUser: user.uid, runAsGroup: user.gid, fsGroup: user.gid, ...ofGroup };
}

function workspaceVolume({ diskBytes }: SandboxLimits, { workspaceClaim: claim }: PodOptions): V1Volume {
  const name = workspaceMount.name;
  if (claim === undefined) return { name, emptyDir: diskBytes === undefined ? {} : { sizeLimit: String(diskBytes) } };
  const spec = {
    accessModes: ["ReadWriteOnce"],
    resources: { requests: { storage: String(Math.ceil(claim.bytes)) } },
    ...(claim.storageClass === undefined ? {} : { storageClassName: claim.storageClass }),
  };
  // Kubernetes makes the claim with the pod, and deletes it with the pod.
  return { name, ephemeral: { volumeClaimTemplate: { spec } } };
}

/** Has only the parts that are set: an empty term of pods is invalid. */
function affinityOf({ nodeName, nodeTerm, podAffinity, podAntiAffinity }: PodPlacement): V1Affinity | undefined {
  // A pod with `nodeName` passes the scheduler by, and fails on a full node instead of waiting.
  const ofName = nodeName === undefined ? [] : [{ key: "metadata.name", operator: "In", values: [nodeName] }];
  const matchFields = [...(nodeTerm?.matchFields ?? []), ...ofName];
  const matchExpressions = nodeTerm?.matchExpressions ?? [];
  const term = {
    ...(matchExpressions.length === 0 ? {} : { matchExpressions }),
    ...(matchFields.length === 0 ? {} : { matchFields }),
  };
  const hasTerm = Object.keys(term).length > 0;
  const affinity: V1Affinity = {
    ...(hasTerm
      ? { nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: [term] } } }
      : {}),
    ...(podAffinity?.length
      ? { podAffinity: { requiredDuringSchedulingIgnoredDuringExecution: [...podAffinity] } }
      : {}),
    ...(podAntiAffinity?.length
      ? { podAntiAffinity: { requiredDuringSchedulingIgnoredDuringExecution: [...podAntiAffinity] } }
      : {}),
  };
  return Object.keys(affinity).length > 0 ? affinity : undefined;
}

function amounts({ cpus, memoryBytes }: Pick<SandboxLimits, "cpus" | "memoryBytes">) {
  return { cpu: `${Math.round(cpus * 1000) + agentMillicores}m`, memory: String(Math.ceil(memoryBytes) + agentBytes) };
}

/** The container of one step. It waits for the agent's order. */
export function makeStepContainer(
  { name, image, token }: { readonly name: string; readonly image: string; readonly token: string },
  options: PodOptions,
): V1EphemeralContainer {
  return {
    name,
    image,
    imagePullPolicy: options.stepPullPolicy ?? options.pullPolicy,
    command: ["/.airlock/agent", "step", token],
    workingDir: "/",
    securityContext: stepContext(options),
    volumeMounts: [
      { name: "workspace", mountPath: "/data" },
      { name: "files", mountPath: "/airlock", readOnly: true },
      { name: "tools", mountPath: "/.airlock", readOnly: true },
      { name: "shm", mountPath: "/dev/shm" },
      ...(options.volumeMounts ?? []).map((mount) => ({ ...mount, name: ownName(mount) })),
    ],
  };
}

/** Keeps the administrator's volumes apart from those that every pod has. */
function ownName({ name }: { readonly name: string }): string {
  return `more-${name}`;
}

function agentContext({ user }: PodOptions): V1SecurityContext {
  const common = { allowPrivilegeEscalation: false, readOnlyRootFilesystem: true };
  if (user.kind === "restricted") return { ...common, capabilities: { drop: ["ALL"] } };
  // The workspace has files of all users that the steps' images name.
  return { ...common, runAsUser: 0, capabilities: { drop: ["ALL"], add: ["CHOWN", "DAC_OVERRIDE", "FOWNER"] } };
}

function stepContext({ user }: PodOptions): V1SecurityContext {
  const add = user.kind === "restricted" ? {} : { add: [...defaultCapabilities] };
  return { allowPrivilegeEscalation: false, capabilities: { drop: ["ALL"], ...add } };
}
