import { stringify } from "yaml";
import type { Manifest } from "./pod-security.ts";
import { renderChart } from "./render-chart.ts";

interface Base {
  readonly directory: "instance" | "executor";
  readonly chart: "airlock" | "airlock-executor";
  readonly values: object;
}

const bases: readonly Base[] = [
  { directory: "instance", chart: "airlock", values: { existingSecret: "airlock" } },
  {
    directory: "executor",
    chart: "airlock-executor",
    values: { existingSecret: "airlock-executor", frontendUrl: "http://airlock.airlock" },
  },
];

const helmLabels = ["app.kubernetes.io/managed-by", "helm.sh/chart"];

/**
 * The files of deploy/kustomize that are made from the charts: file name below it, and content. So charts and bases can't
 * differ.
 */
export async function kustomizeBases(): Promise<ReadonlyMap<string, string>> {
  const files = new Map<string, string>();
  for (const { directory, chart, values } of bases) {
    const manifests = await renderChart(chart, values, { release: chart, namespace: chart });
    const all = [namespaceOf(chart), ...manifests.map((manifest) => placed(manifest, chart))];
    const head = `# Made from deploy/helm/${chart} by node scripts/kustomize.ts.\n`;
    files.set(`${directory}/${chart}.yaml`, head + all.map((each) => stringify(withoutHelm(each))).join("---\n"));
  }
  return files;
}

function namespaceOf(name: string): Manifest & { readonly apiVersion: string } {
  const labels = { "pod-security.kubernetes.io/enforce": "restricted" };
  return { apiVersion: "v1", kind: "Namespace", metadata: { name, labels } };
}

/** Names the namespace, which Helm leaves to its command line. The executor's base has objects in two. */
function placed(manifest: Manifest, namespace: string): Manifest {
  if (manifest.kind === "Namespace" || manifest.metadata.namespace) return manifest;
  const { name, ...others } = manifest.metadata;
  return { ...manifest, metadata: { name, namespace, ...others } };
}

/** Without the labels that name Helm as the owner. */
function withoutHelm(manifest: Manifest): unknown {
  return JSON.parse(JSON.stringify(manifest, (key, value) => (helmLabels.includes(key) ? undefined : value)));
}
