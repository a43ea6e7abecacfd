import { writeFile } from "node:fs/promises";
import path from "node:path";
import { helm, temporaryDirectory } from "@airlock/test-kit";
import { parseAllDocuments } from "yaml";
import { root } from "../programs/run.ts";
import type { Manifest } from "./pod-security.ts";

export const charts = ["airlock", "airlock-executor", "airlock-executor-dind"] as const;

export type ChartName = (typeof charts)[number];

export function chartDirectory(chart: ChartName): string {
  return path.join(root, "deploy/helm", chart);
}

/** The values without which the charts refuse to work. */
export const requiredValues = {
  airlock: { existingSecret: "airlock" },
  "airlock-executor": { existingSecret: "airlock", frontendUrl: "http://airlock.airlock" },
  "airlock-executor-dind": { existingSecret: "airlock", frontendUrl: "http://airlock.airlock" },
};

/** Values that turn on every part of a chart. */
export const everything = {
  airlock: {
    ...requiredValues.airlock,
    replicas: 2,
    database: { existingSecret: "database" },
    objectStorage: {
      bucket: "b",
      existingSecret: "s3",
      endpoint: "https://s3.example.com",
      region: "eu",
      prefix: "a/",
    },
    ingress: {
      enabled: true,
      className: "nginx",
      host: "airlock.example.com",
      tlsSecret: "tls",
      annotations: { a: "b" },
    },
    customCertificates: { configMap: "authorities" },
    networkPolicy: { from: [{ namespaceSelector: {} }] },
    serviceMonitor: { enabled: true, labels: { release: "prometheus" } },
    env: { AIRLOCK_JOB_RETENTION: "30d" },
    imagePullSecrets: ["registry"],
    persistence: { storageClass: "fast", whenDeleted: "Delete" },
    nodeSelector: { pool: "instances" },
    tolerations: [{ key: "instances", operator: "Exists" }],
    priorityClassName: "system-cluster-critical",
  },
  "airlock-executor": {
    ...requiredValues["airlock-executor"],
    queues: [
      { name: "default", queueNames: ["default", "other"], replicas: 2, env: { EXECUTOR_LABELS: "zone=eu" } },
      {
        name: "big",
        queueNames: ["big"],
        maximumNumJobs: 2,
        jobNodeSelector: { pool: "big" },
        jobTolerations: [{ key: "big", operator: "Exists" }],
      },
    ],
    jobs: {
      runtimeClass: "gvisor",
      nodeSelector: { pool: "jobs", disk: "fast" },
      tolerations: [{ key: "jobs", operator: "Exists" }],
      imagePullSecrets: ["registry"],
    },
    customCertificates: { configMap: "authorities" },
    networkPolicy: { egressPorts: [8443], metricsFrom: [{ namespaceSelector: {} }] },
    serviceMonitor: { enabled: true },
    autoscaling: { kind: "hpa", minReplicas: 0 },
    scratch: { storageClass: "fast" },
    imagePullSecrets: ["registry"],
    env: { EXECUTOR_LABELS: "zone=us" },
  },
  "airlock-executor-dind": {
    ...requiredValues["airlock-executor-dind"],
    queues: [
      { name: "default", queueNames: ["default", "other"], replicas: 2, env: { EXECUTOR_LABELS: "zone=eu" } },
      {
        name: "big",
        queueNames: ["big"],
        nodeSelector: { pool: "big" },
        tolerations: [{ key: "big", operator: "Exists" }],
      },
    ],
    daemon: {
      registryMirrors: ["https://mirror.example.com"],
      config: { debug: true },
      storage: { storageClass: "fast" },
    },
    registryCache: { enabled: true, existingSecret: "docker-io", storageClass: "fast" },
    customCertificates: { configMap: "authorities" },
    networkPolicy: { egressPorts: [8443], metricsFrom: [{ namespaceSelector: {} }] },
    serviceMonitor: { enabled: true },
    autoscaling: { kind: "hpa" },
    scratch: { storageClass: "fast" },
    imagePullSecrets: ["registry"],
    nodeSelector: { pool: "jobs" },
    env: { EXECUTOR_LABELS: "zone=us" },
  },
};

/** What the chart makes of these values. */
export async function renderChart(
  chart: ChartName,
  values: object,
  { release = "test", namespace = "test" }: { readonly release?: string; readonly namespace?: string } = {},
): Promise<readonly Manifest[]> {
  await using directory = await temporaryDirectory("chart-");
  const file = path.join(directory.path, "values.json");
  await writeFile(file, JSON.stringify(values));
  const text = await helm("template", release, chartDirectory(chart), "--namespace", namespace, "--values", file);
  return parseAllDocuments(text)
    .map((document) => document.toJS() as Manifest | null)
    .filter((manifest) => manifest !== null);
}
