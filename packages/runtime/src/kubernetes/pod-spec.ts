import type {
  V1Container,
  V1EphemeralContainer,
  V1Pod,
  V1SecurityContext,
  V1VolumeMount,
} from "@kubernetes/client-node";
import { shmSize } from "../contract/check-limits.ts";
import type { SandboxPlan } from "../contract/sandbox-plan.ts";
import { defaultCapabilities } from "../isolation/hardening.ts";
import { agentContainer } from "./connect-agent.ts";
import { egressLabel, labelOf, ownerLabel, podName, sandboxAnnotation, sandboxLabel } from "./pod-names.ts";
import { pullSecretName } from "./pull-secret.ts";

export type PodPullPolicy = "Always" | "IfNotPresent" | "Never";

export interface PodOptions {
  /** Image of the agent, from which only `/agent` is used. */
  readonly agentImage: string;
  readonly pullPolicy: PodPullPolicy;
  /**
   * When the images of steps are pulled. With `IfNotPresent` a node gives an image that was pulled with one job's
   * credentials to all jobs. Default: {@link pullPolicy}.
   */
  readonly stepPullPolicy?: PodPullPolicy;
  /**
   * `restricted`: all steps run as this user, whatever their image says. `image`: steps run as their image's user, with
   * the capabilities of a plain container. That passes the baseline standard.
   */
  readonly user:
    | { readonly kind: "restricted"; readonly uid: number; readonly gid: number }
    | { readonly kind: "image" };
  /** What the scheduler reserves for a pod. Default: the job's limits. */
  readonly requests?: { readonly cpus: number; readonly memoryBytes: number };
  /** How long a pod outlives its executor. */
  readonly abandonSeconds: number;
}

const mebibyte = 2 ** 20;
/** What the agent and the pod's sandbox need beside the job. */
const agentBytes = 24 * mebibyte;
const agentMillicores = 50;

const workspaceMount: V1VolumeMount = { name: "workspace", mountPath: "/run/airlock/workspace/data" };

/** The pod of one sandbox. Its steps are added later, as ephemeral containers. */
export function makePod(plan: SandboxPlan, options: PodOptions): V1Pod {
  const { limits } = plan;
  const { requests = limits } = options;
  const name = podName(plan);
  const pullSecret = pullSecretName(name, plan.registryAuth);
  const agent: V1Container = {
    name: agentContainer,
    image: options.agentImage,
    imagePullPolicy: options.pullPolicy,
    command: ["/agent", "serve", String(options.abandonSeconds)],
    // The limits of the pod's only ordinary container are those of the pod, and so of all its steps together.
    resources: { limits: amounts(limits), requests: amounts(requests) },
    securityContext: agentContext(options),
    volumeMounts: [
      workspaceMount,
      { name: "files", mountPath: "/run/airlock/files/step" },
      { name: "tools", mountPath: "/run/airlock/tools" },
      { name: "control", mountPath: "/run/airlock/control" },
    ],
  };
  const inMemory = (size: number) => ({ medium: "Memory", sizeLimit: String(size) });
  return {
    metadata: {
      name,
      labels: {
        [ownerLabel]: labelOf(plan.owner),
        [sandboxLabel]: labelOf(plan.id),
        [egressLabel]: plan.egress.kind,
      },
      annotations: { [sandboxAnnotation]: plan.id },
    },
    spec: {
      restartPolicy: "Never",
      automountServiceAccountToken: false,
      enableServiceLinks: false,
      ...(pullSecret === null ? {} : { imagePullSecrets: [{ name: pullSecret }] }),
      terminationGracePeriodSeconds: 1,
      // Programs look up their own host name, also without a network.
      hostname: name.slice(0, 63),
      hostAliases: [{ ip: "127.0.0.1", hostnames: [name.slice(0, 63)] }],
      dnsPolicy: "None",
      dnsConfig: { nameservers: ["127.0.0.1"] },
      securityContext: {
        seccompProfile: { type: "RuntimeDefault" },
        sysctls: [{ name: "net.ipv4.ip_unprivileged_port_start", value: "0" }],
        ...(options.user.kind === "restricted"
          ? {
              runAsNonRoot: true,
              runAsUser: options.user.uid,
              runAsGroup: options.user.gid,
              fsGroup: options.user.gid,
            }
          : {}),
      },
      containers: [agent],
      volumes: [
        { name: "workspace", emptyDir: limits.diskBytes === undefined ? {} : { sizeLimit: String(limits.diskBytes) } },
        // Secrets are among these files, so they are never on a disk.
        { name: "files", emptyDir: inMemory(64 * mebibyte) },
        { name: "tools", emptyDir: inMemory(mebibyte) },
        { name: "control", emptyDir: inMemory(mebibyte) },
        { name: "shm", emptyDir: inMemory(shmSize(limits)) },
      ],
    },
  };
}

function amounts({ cpus, memoryBytes }: { readonly cpus: number; readonly memoryBytes: number }) {
  return { cpu: `${Math.round(cpus * 1000) + agentMillicores}m`, memory: String(memoryBytes + agentBytes) };
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
    ],
  };
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
