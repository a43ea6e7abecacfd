import type {
  V1NodeSelectorTerm,
  V1PodAffinityTerm,
  V1Toleration,
  V1Volume,
  V1VolumeMount,
} from "@kubernetes/client-node";

export type PodPullPolicy = "Always" | "IfNotPresent" | "Never";

/** The administrator's settings for the pods of jobs. */
export interface PodOptions {
  /** Image of the agent, from which only `/agent` is used. */
  readonly agentImage: string;
  readonly pullPolicy: PodPullPolicy;
  /**
   * When the images of steps are pulled. With `IfNotPresent` a node gives an image that was pulled with one job's
   * credentials to all jobs. Default: {@link pullPolicy}.
   */
  readonly stepPullPolicy?: PodPullPolicy;
  /** Secrets of the namespace with credentials for registries. Default: none. */
  readonly imagePullSecrets?: readonly string[];
  /**
   * `restricted`: all steps run as this user, whatever their image says. `image`: steps run as their image's user, with
   * the capabilities of a plain container. That passes the baseline standard.
   */
  readonly user:
    | { readonly kind: "restricted"; readonly uid: number; readonly gid: number }
    | { readonly kind: "image" };
  /** Group of the files in volumes. Default: the user's group for `restricted`, else none. */
  readonly fsGroup?: number;
  /** What the scheduler reserves for a pod, at most the job's limits. Default: the job's limits. */
  readonly requests?: { readonly cpus?: number; readonly memoryBytes?: number };
  /** How long a pod outlives its executor. */
  readonly abandonSeconds: number;
  readonly placement?: PodPlacement;
  /** Of the pods. No pod gets its token. Default: the namespace's own. */
  readonly serviceAccount?: string;
  readonly annotations?: Readonly<Record<string, string>>;
  /** A claim of its own for each workspace. Default: a directory of the node. */
  readonly workspaceClaim?: { readonly bytes: number; readonly storageClass?: string };
  /** Additional volumes, and where steps find them. */
  readonly volumes?: readonly PodVolume[];
  readonly volumeMounts?: readonly V1VolumeMount[];
}

/** A volume of the kinds that the restricted Pod Security Standard allows. */
export type PodVolume = Pick<V1Volume, "name" | (typeof volumeSources)[number]>;

export const volumeSources = [
  "configMap",
  "secret",
  "persistentVolumeClaim",
  "emptyDir",
  "csi",
  "ephemeral",
  "projected",
] as const;

/** Which nodes run pods, and how. */
export interface PodPlacement {
  readonly nodeName?: string;
  readonly nodeSelector?: Readonly<Record<string, string>>;
  /** What nodes must have: all of it. */
  readonly nodeTerm?: V1NodeSelectorTerm;
  readonly podAffinity?: readonly V1PodAffinityTerm[];
  readonly podAntiAffinity?: readonly V1PodAffinityTerm[];
  readonly tolerations?: readonly V1Toleration[];
  readonly priorityClass?: string;
  readonly runtimeClass?: string;
}

/** Where in steps no additional volume can be. */
export const reservedPaths: readonly string[] = ["/data", "/airlock", "/.airlock", "/dev", "/proc", "/sys"];
