import { readFileSync } from "node:fs";
import path from "node:path";
import { manifestOfRules } from "@airlock/runtime/kubernetes";
import { helm } from "@airlock/test-kit";
import { beforeAll, describe, expect, it } from "vitest";
import { parse } from "yaml";
import { root } from "../programs/run.ts";
import { kustomizeBases } from "./kustomize-bases.ts";
import { type Manifest, restrictedViolations } from "./pod-security.ts";
import { chartDirectory, everything, renderChart, requiredValues } from "./render-chart.ts";

const charts = ["airlock", "airlock-executor"] as const;

// The first run on a machine downloads Helm.
beforeAll(async () => void (await helm("version")), 240_000);

function find(manifests: readonly Manifest[], kind: string): readonly Manifest[] {
  return manifests.filter((manifest) => manifest.kind === kind);
}

/** The names and values of a container's variables. */
function environment(manifest: Manifest | undefined): ReadonlyMap<string, string | undefined> {
  const variables = manifest?.spec?.template?.spec.containers[0]?.env ?? [];
  return new Map(variables.map(({ name, value }) => [name, value]));
}

describe.each(charts)("the chart %s", (chart) => {
  it.each([
    ["the required values", requiredValues[chart]],
    ["every part turned on", everything[chart]],
  ])("makes pods of the restricted standard, and no Secret, with %s", async (_, values) => {
    const manifests = await renderChart(chart, values);

    expect(restrictedViolations(manifests)).toEqual([]);
    expect(find(manifests, "Secret")).toEqual([]);
    expect(find(manifests, "NetworkPolicy").length).toBeGreaterThan(0);
  });

  it("has no problem that Helm knows", async () => {
    const words = Object.entries(requiredValues[chart]).flatMap(([name, value]) => ["--set", `${name}=${value}`]);
    await expect(helm("lint", "--strict", chartDirectory(chart), ...words)).resolves.toContain("0 chart(s) failed");
  });

  it("sets only variables that the documentation describes", async () => {
    const documents = ["docs/running.md", "docs/executor-configuration.md"];
    const known = documents.map((name) => readFileSync(path.join(root, name), "utf8")).join("\n");
    const manifests = await renderChart(chart, everything[chart]);
    const workloads = manifests.filter(({ kind }) => kind === "Deployment" || kind === "StatefulSet");
    const names = workloads.flatMap((workload) => [...environment(workload).keys()]);

    expect(names.length).toBeGreaterThan(10);
    expect(names.filter((name) => !known.includes(`\`${name}\``))).toEqual([]);
  });
});

it("the bases for Kustomize are what the charts make", async () => {
  for (const [name, text] of await kustomizeBases()) {
    const file = path.join(root, "deploy/kustomize", name);
    expect(readFileSync(file, "utf8"), "run node scripts/kustomize.ts").toBe(text);
  }
});

describe("refused values", () => {
  it.each([
    ["airlock", {}, "existingSecret is required"],
    ["airlock", { existingSecret: "a", replicas: 2 }, "replicas above 1 need database.existingSecret"],
    ["airlock", { existingSecret: "a", replicas: 2, database: { existingSecret: "d" } }, "need objectStorage.bucket"],
    ["airlock", { existingSecret: "a", objectStorage: { bucket: "b" } }, "needs objectStorage.existingSecret"],
    ["airlock", { existingSecret: "a", ingress: { enabled: true } }, "ingress.enabled needs ingress.host"],
    ["airlock", { existingSecret: "a", databaseUrl: "postgresql://u:p@h/d" }, "databaseUrl"],
    ["airlock-executor", { existingSecret: "a" }, "frontendUrl is required"],
    ["airlock-executor", { existingSecret: "a", frontendUrl: "airlock" }, "frontendUrl"],
    ["airlock-executor", { frontendUrl: "http://a" }, "existingSecret is required"],
    ["airlock-executor", { existingSecret: "a", frontendUrl: "http://a", queues: [] }, "queues"],
    [
      "airlock-executor",
      { existingSecret: "a", frontendUrl: "http://a", jobs: { namespace: "test" } },
      "own namespace",
    ],
    [
      "airlock-executor",
      { existingSecret: "a", frontendUrl: "http://a", autoscaling: { kind: "keda" } },
      "prometheusUrl",
    ],
  ] as const)("%s names the problem of %j", async (chart, values, message) => {
    await expect(renderChart(chart, values)).rejects.toThrow(message);
  });
});

describe("the executors of the chart", () => {
  it("have exactly the rights that the runtime needs, in the namespace of jobs", async () => {
    const manifests = await renderChart("airlock-executor", requiredValues["airlock-executor"]);
    const [role] = find(manifests, "Role");

    expect(role?.rules).toEqual(parse(manifestOfRules()));
    expect(role?.metadata.namespace).toBe("test-airlock-executor-jobs");
    expect(find(manifests, "ClusterRole")).toEqual([]);
  });

  it("drain for as long as Kubernetes waits", async () => {
    const values = { ...requiredValues["airlock-executor"], drainTimeoutSeconds: 90 };
    const [deployment] = find(await renderChart("airlock-executor", values), "Deployment");

    expect(environment(deployment).get("EXECUTOR_DRAIN_TIMEOUT")).toBe("90s");
    expect(deployment?.spec?.template?.spec.terminationGracePeriodSeconds).toBe(150);
  });

  it("are a Deployment per queue, each with its own variables, nodes and scaling", async () => {
    const manifests = await renderChart("airlock-executor", everything["airlock-executor"]);
    const [first, second] = find(manifests, "Deployment").map(environment);

    expect(first?.get("EXECUTOR_QUEUE_NAMES")).toBe("default,other");
    expect(first?.get("EXECUTOR_LABELS")).toBe("zone=eu");
    expect(second?.get("EXECUTOR_LABELS")).toBe("zone=us");
    expect(first?.get("EXECUTOR_KUBERNETES_NODE_SELECTOR")).toBe("disk=fast,pool=jobs");
    expect(second?.get("EXECUTOR_KUBERNETES_NODE_SELECTOR")).toBe("pool=big");
    expect(second?.get("EXECUTOR_MAXIMUM_NUM_JOBS")).toBe("2");
    expect(find(manifests, "HorizontalPodAutoscaler").map(({ spec }) => spec?.minReplicas)).toEqual([1, 1]);
    const autoscaling = { kind: "keda", prometheusUrl: "http://prometheus:9090" };
    const scaled = await renderChart("airlock-executor", { ...everything["airlock-executor"], autoscaling });
    const triggers = find(scaled, "ScaledObject").map(({ spec }) => spec?.triggers?.length);
    expect(triggers).toEqual([2, 1]);
    expect(find(scaled, "Deployment").map(({ spec }) => spec?.replicas)).toEqual([undefined, undefined]);
  });
});
