interface SecurityContext {
  readonly privileged?: boolean;
  readonly allowPrivilegeEscalation?: boolean;
  readonly runAsNonRoot?: boolean;
  readonly runAsUser?: number;
  readonly seccompProfile?: { readonly type: string };
  readonly capabilities?: { readonly drop?: readonly string[]; readonly add?: readonly string[] };
}

interface Container {
  readonly name: string;
  readonly command?: readonly string[];
  readonly restartPolicy?: string;
  readonly securityContext?: SecurityContext;
  readonly ports?: readonly { readonly hostPort?: number }[];
  readonly env: readonly { readonly name: string; readonly value?: string }[];
}

interface PodSpec {
  readonly restartPolicy?: string;
  readonly hostNetwork?: boolean;
  readonly hostPID?: boolean;
  readonly hostIPC?: boolean;
  readonly terminationGracePeriodSeconds?: number;
  readonly volumes?: readonly Readonly<Record<string, unknown>>[];
  readonly securityContext?: SecurityContext;
  readonly runtimeClassName?: string;
  readonly initContainers?: readonly Container[];
  readonly containers: readonly Container[];
}

/** An object of Kubernetes, as a chart or a kustomization makes it, with the fields that the tests read. */
export interface Manifest {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
  };
  readonly rules?: readonly unknown[];
  readonly data?: Readonly<Record<string, string>>;
  readonly spec?: {
    readonly replicas?: number;
    readonly minReplicas?: number;
    readonly triggers?: readonly unknown[];
    readonly template?: { readonly spec: PodSpec };
    readonly jobTargetRef?: { readonly template: { readonly spec: PodSpec } };
  };
}

const allowedVolumes = [
  "configMap",
  "csi",
  "downwardAPI",
  "emptyDir",
  "ephemeral",
  "persistentVolumeClaim",
  "projected",
  "secret",
];

/** What keeps the pods of these objects from the restricted Pod Security Standard. */
export function restrictedViolations(manifests: readonly Manifest[]): readonly string[] {
  return manifests.flatMap(({ kind, metadata, spec }) => {
    const pod = (spec?.template ?? spec?.jobTargetRef?.template)?.spec;
    if (!pod) return [];
    const problems: string[] = [];
    if (pod.hostNetwork || pod.hostPID || pod.hostIPC) problems.push("uses namespaces of the node");
    for (const volume of pod.volumes ?? []) {
      const type = Object.keys(volume).find((name) => name !== "name") ?? "";
      if (!allowedVolumes.includes(type)) problems.push(`has a volume of type ${type}`);
    }
    for (const container of [...(pod.initContainers ?? []), ...pod.containers]) {
      const context: SecurityContext = { ...pod.securityContext, ...container.securityContext };
      if (context.privileged) problems.push("is privileged");
      if (context.allowPrivilegeEscalation !== false) problems.push("can gain privileges");
      if (context.runAsNonRoot !== true || context.runAsUser === 0) problems.push("may run as root");
      if (context.seccompProfile?.type !== "RuntimeDefault") problems.push("has no seccomp profile");
      if (String(context.capabilities?.drop) !== "ALL" || context.capabilities?.add) problems.push("has capabilities");
      if (container.ports?.some(({ hostPort }) => hostPort !== undefined)) problems.push("uses a port of the node");
    }
    return problems.map((problem) => `${kind} ${metadata.name} ${problem}`);
  });
}
