import { stringify } from "yaml";
import { objectDiff } from "./object-diff.ts";
import type { Manifest } from "./pod-security.ts";
import { type ChartName, renderChart } from "./render-chart.ts";

interface Base {
  readonly directory: "instance" | "executor" | "executor-dind";
  readonly chart: ChartName;
  readonly values: object;
  /** Pod Security Standard of the namespace. */
  readonly level: "restricted" | "privileged";
}

const bases: readonly Base[] = [
  { directory: "instance", chart: "airlock", values: { existingSecret: "airlock" }, level: "restricted" },
  {
    directory: "executor",
    chart: "airlock-executor",
    values: { existingSecret: "airlock-executor", frontendUrl: "http://airlock.airlock" },
    level: "restricted",
  },
  {
    directory: "executor-dind",
    chart: "airlock-executor-dind",
    values: { existingSecret: "airlock-executor", frontendUrl: "http://airlock.airlock" },
    level: "privileged",
  },
];

const prometheusUrl = "http://prometheus.monitoring:9090";
const serviceMonitor = { serviceMonitor: { enabled: true } };
const nodePool = (pool: string) => ({
  nodeSelector: { "airlock/pool": pool },
  tolerations: [{ key: "airlock/pool", operator: "Equal", value: pool, effect: "NoSchedule" }],
});
const customCertificates = { customCertificates: { configMap: "airlock-certificates" } };

/** Components by base and name: values of the chart. */
const components: Readonly<Record<Base["directory"], Readonly<Record<string, object>>>> = {
  instance: {
    "service-monitor": serviceMonitor,
    "custom-certificates": customCertificates,
    replicas: {
      replicas: 2,
      database: { existingSecret: "airlock-database" },
      objectStorage: { bucket: "airlock", existingSecret: "airlock-storage" },
    },
  },
  executor: {
    "service-monitor": serviceMonitor,
    "custom-certificates": customCertificates,
    keda: { autoscaling: { kind: "keda", prometheusUrl } },
    "keda-jobs": { autoscaling: { kind: "keda-jobs", prometheusUrl } },
    hpa: { autoscaling: { kind: "hpa" } },
    "node-pool": { ...nodePool("executors"), jobs: nodePool("jobs") },
  },
  "executor-dind": {
    "service-monitor": serviceMonitor,
    "custom-certificates": customCertificates,
    keda: { autoscaling: { kind: "keda", prometheusUrl } },
    "keda-jobs": { autoscaling: { kind: "keda-jobs", prometheusUrl } },
    hpa: { autoscaling: { kind: "hpa" } },
    "node-pool": nodePool("jobs"),
    "registry-cache": { registryCache: { enabled: true } },
    gvisor: { daemon: { kind: "gvisor" } },
    rootless: { daemon: { kind: "rootless" } },
  },
};

const helmLabels = ["app.kubernetes.io/managed-by", "helm.sh/chart"];
/** A hook of Helm would run at any time with Kustomize. Instances migrate the database when they start. */
const withoutHooks = { database: { migrationHook: false } };

/**
 * The files of deploy/kustomize that are made from the charts: file name below it, and content. So charts, bases and
 * components can't differ.
 */
export async function kustomizeBases(): Promise<ReadonlyMap<string, string>> {
  const files = new Map<string, string>();
  for (const base of bases) {
    const { directory, chart, level } = base;
    const manifests = await manifestsOf(base, {});
    files.set(`${directory}/${chart}.yaml`, fileOf(chart, [namespaceOf(chart, level), ...manifests]));
    for (const [name, values] of Object.entries(components[directory])) {
      const wanted = await manifestsOf(base, values);
      for (const [file, content] of componentFiles(chart, manifests, wanted)) {
        files.set(`components/${directory}/${name}/${file}`, content);
      }
    }
  }
  return files;
}

async function manifestsOf({ chart, values }: Base, more: object): Promise<readonly Manifest[]> {
  const hooks = chart === "airlock" ? withoutHooks : {};
  const all = merged(merged(values, hooks), more);
  const manifests = await renderChart(chart, all, { release: chart, namespace: chart });
  return manifests.map((manifest) => withoutHelm(placed(manifest, chart)));
}

/** What a component adds to a base, changes in it and removes from it. */
function componentFiles(
  chart: ChartName,
  before: readonly Manifest[],
  after: readonly Manifest[],
): ReadonlyMap<string, string> {
  const files = new Map<string, string>();
  const found = (manifests: readonly Manifest[], { kind, metadata }: Manifest) =>
    manifests.find((each) => each.kind === kind && each.metadata.name === metadata.name);
  const added = after.filter((manifest) => !found(before, manifest));
  const patches = before.flatMap((manifest) => {
    const { apiVersion, kind, metadata } = manifest;
    const { name, namespace } = metadata;
    const target = { apiVersion, kind, metadata: { name, ...(namespace ? { namespace } : {}) } };
    const wanted = found(after, manifest);
    if (!wanted) return [{ ...target, $patch: "delete" }];
    const changed = objectDiff(manifest, wanted) as { readonly metadata?: object } | undefined;
    return changed ? [{ ...changed, ...target, metadata: { ...changed.metadata, ...target.metadata } }] : [];
  });
  if (added.length > 0) files.set("resources.yaml", fileOf(chart, added));
  if (patches.length > 0) files.set("patches.yaml", fileOf(chart, patches));
  const kustomization = {
    apiVersion: "kustomize.config.k8s.io/v1alpha1",
    kind: "Component",
    ...(added.length > 0 ? { resources: ["resources.yaml"] } : {}),
    ...(patches.length > 0 ? { patches: [{ path: "patches.yaml" }] } : {}),
  };
  files.set("kustomization.yaml", stringify(kustomization));
  return files;
}

function fileOf(chart: ChartName, objects: readonly object[]): string {
  const head = `# Made from deploy/helm/${chart} by node scripts/kustomize.ts.\n`;
  return head + objects.map((each) => stringify(each)).join("---\n");
}

function merged(values: object, more: object): object {
  const result: Record<string, unknown> = { ...values };
  for (const [name, value] of Object.entries(more)) {
    const own = result[name];
    const isNested = typeof value === "object" && !Array.isArray(value) && typeof own === "object" && own !== null;
    result[name] = isNested ? merged(own, value) : value;
  }
  return result;
}

function namespaceOf(name: string, level: Base["level"]): Manifest {
  const labels = { "pod-security.kubernetes.io/enforce": level };
  return { apiVersion: "v1", kind: "Namespace", metadata: { name, labels } };
}

/** Names the namespace, which Helm leaves to its command line. The executor's base has objects in two. */
function placed(manifest: Manifest, namespace: string): Manifest {
  if (manifest.kind === "Namespace" || manifest.metadata.namespace) return manifest;
  const { name, ...others } = manifest.metadata;
  return { ...manifest, metadata: { name, namespace, ...others } };
}

/** Without the labels that name Helm as the owner. */
function withoutHelm(manifest: Manifest): Manifest {
  return JSON.parse(JSON.stringify(manifest, (key, value) => (helmLabels.includes(key) ? undefined : value)));
}
