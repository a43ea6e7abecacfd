import { writeFile } from "node:fs/promises";
import path from "node:path";
import { type ClusterAccess, goModule, kubectl, temporaryDirectory } from "@airlock/test-kit";

/** KEDA publishes its definitions only in its sources. */
const keda = {
  path: "github.com/kedacore/keda/v2",
  version: "v2.18.1",
  sum: "h1:h6bRt/IOxxtZpJlHSqhdH/lcInH7Z9obxg/JvWOmGAw=",
};

const text = { type: "string" };
const labels = { type: "object", additionalProperties: text };

/**
 * The fields of ServiceMonitor that the charts may use, from the Prometheus operator's documentation. Its published
 * definition is in no package registry.
 */
const serviceMonitor = {
  apiVersion: "apiextensions.k8s.io/v1",
  kind: "CustomResourceDefinition",
  metadata: { name: "servicemonitors.monitoring.coreos.com" },
  spec: {
    group: "monitoring.coreos.com",
    scope: "Namespaced",
    names: {
      kind: "ServiceMonitor",
      plural: "servicemonitors",
      singular: "servicemonitor",
      listKind: "ServiceMonitorList",
    },
    versions: [
      {
        name: "v1",
        served: true,
        storage: true,
        schema: {
          openAPIV3Schema: {
            type: "object",
            required: ["spec"],
            properties: {
              spec: {
                type: "object",
                required: ["selector", "endpoints"],
                properties: {
                  selector: { type: "object", properties: { matchLabels: labels } },
                  namespaceSelector: { type: "object", properties: { matchNames: { type: "array", items: text } } },
                  endpoints: {
                    type: "array",
                    items: {
                      type: "object",
                      properties: {
                        port: text,
                        path: text,
                        scheme: text,
                        interval: { ...text, pattern: "^\\d+(ms|s|m|h)$" },
                        authorization: {
                          type: "object",
                          properties: { credentials: { type: "object", properties: { name: text, key: text } } },
                        },
                      },
                    },
                  },
                },
              },
            },
          },
        },
      },
    ],
  },
};

/** Gives the cluster the kinds of operators that it does not have. Disposing takes them away. */
export async function defineCustomKinds(cluster: ClusterAccess): Promise<AsyncDisposable> {
  const sources = path.join(await goModule(keda), "config/crd/bases");
  await using scratch = await temporaryDirectory("kinds-");
  const monitors = path.join(scratch.path, "service-monitor.json");
  await writeFile(monitors, JSON.stringify(serviceMonitor));
  const files = [
    ...["scaledobjects", "scaledjobs"].map((name) => path.join(sources, `keda.sh_${name}.yaml`)),
    monitors,
  ];
  await kubectl(cluster, "apply", "--server-side", ...files.flatMap((file) => ["-f", file]));
  const names = ["crd/scaledobjects.keda.sh", "crd/scaledjobs.keda.sh", `crd/${serviceMonitor.metadata.name}`];
  await kubectl(cluster, "wait", "--for=condition=Established", ...names, "--timeout=60s");
  return { [Symbol.asyncDispose]: async () => void (await kubectl(cluster, "delete", ...names, "--wait=false")) };
}
