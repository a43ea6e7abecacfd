import { readFileSync } from "node:fs";
import path from "node:path";
import { manifestOfRules } from "@airlock/runtime/kubernetes";
import { helm } from "@airlock/test-kit";
import { beforeAll, describe, expect, it } from "vitest";
import { parse } from "yaml";
import { root } from "../programs/run.ts";
import { kustomizeBases } from "./kustomize-bases.ts";
import { type Manifest, restrictedViolations } from "./pod-security.ts";
import { chartDirectory, charts, everything, renderChart, requiredValues } from "./render-chart.ts";

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

    // Docker-in-docker needs privileges. Its tests say which.
    const claimed = manifests.filter(({ metadata }) => !metadata.name.startsWith("test-airlock-executor-dind-"));
    const violations = restrictedViolations(chart === "airlock-executor-dind" ? claimed : manifests);
    expect(violations).toEqual([]);
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
    // The registry's variables are its own.
    const workloads = manifests.filter(
      ({ kind, metadata }) => (kind === "Deployment" || kind === "StatefulSet") && !metadata.name.endsWith("-cache"),
    );
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
    ["airlock-executor-dind", { frontendUrl: "http://a" }, "existingSecret is required"],
    ["airlock-executor-dind", { existingSecret: "a" }, "frontendUrl is required"],
    [
      "airlock-executor-dind",
      { existingSecret: "a", frontendUrl: "http://a", autoscaling: { kind: "keda-jobs" } },
      "autoscaling.kind keda-jobs needs autoscaling.prometheusUrl",
    ],
    ["airlock-executor-dind", { existingSecret: "a", frontendUrl: "http://a", daemon: { kind: "tcp" } }, "daemon"],
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

describe("values of Sourcegraph's charts", () => {
  const log = { level: "warn" };

  it("of its native executors mean the same", async () => {
    const executor = {
      frontendUrl: "https://airlock.example.com",
      frontendExistingSecret: "given",
      queueNames: "batches,codeintel",
      maximumNumJobs: 7,
      log,
      namespace: "work",
      kubernetesJob: {
        deadline: 1200,
        runAsUser: 0,
        resources: { limits: { memory: "8Gi" }, requests: { memory: "1Gi" } },
      },
      extraEnv: [{ name: "EXECUTOR_LABELS", value: "zone=eu" }],
    };
    const manifests = await renderChart("airlock-executor", { executor });
    const variables = environment(find(manifests, "Deployment")[0]);

    expect(Object.fromEntries(variables)).toMatchObject({
      EXECUTOR_FRONTEND_URL: "https://airlock.example.com",
      EXECUTOR_QUEUE_NAMES: "batches,codeintel",
      EXECUTOR_MAXIMUM_NUM_JOBS: "7",
      EXECUTOR_KUBERNETES_NAMESPACE: "work",
      EXECUTOR_KUBERNETES_RESOURCE_LIMIT_MEMORY: "8Gi",
      EXECUTOR_KUBERNETES_RESOURCE_REQUEST_MEMORY: "1Gi",
      KUBERNETES_JOB_DEADLINE: "1200",
      KUBERNETES_RUN_AS_USER: "0",
      SRC_LOG_LEVEL: "warn",
      EXECUTOR_LABELS: "zone=eu",
    });
    expect(find(manifests, "Role")[0]?.metadata.namespace).toBe("work");
    expect(JSON.stringify(manifests)).toContain('{"name":"given","key":"EXECUTOR_FRONTEND_PASSWORD"}');
  });

  it("of its executors with Docker mean the same", async () => {
    const manifests = await renderChart("airlock-executor-dind", {
      executor: {
        frontendUrl: "https://airlock.example.com",
        frontendExistingSecret: "given",
        queueName: "batches",
        replicaCount: 3,
        maximumNumJobs: 4,
        env: { EXECUTOR_LABELS: { value: "zone=eu" } },
        storage: { type: "ephemeral", size: "5Gi", class: "fast" },
        log,
      },
      dind: { gVisor: { enabled: true }, daemonConfig: { mtu: 1200 } },
      privateDockerRegistry: { enabled: true, storageSize: "10Gi" },
    });
    const [deployment] = find(manifests, "Deployment");
    const variables = Object.fromEntries(environment(deployment));

    expect(variables).toMatchObject({
      EXECUTOR_QUEUE_NAMES: "batches",
      EXECUTOR_MAXIMUM_NUM_JOBS: "4",
      SRC_LOG_LEVEL: "warn",
    });
    expect(variables).toMatchObject({ EXECUTOR_LABELS: "zone=eu" });
    expect(deployment?.spec?.replicas).toBe(3);
    expect(deployment?.spec?.template?.spec.runtimeClassName).toBe("gvisor");
    expect(JSON.parse(find(manifests, "ConfigMap")[0]?.data?.["daemon.json"] ?? "").mtu).toBe(1200);
    expect(find(manifests, "StatefulSet")).toHaveLength(1);
  });

  it.each([
    ["airlock-executor", { frontendPassword: "secret" }, "create a Secret"],
    ["airlock-executor-dind", { frontendPassword: "secret" }, "create a Secret"],
    ["airlock-executor", { dockerAddHostGateway: true }, "dockerAddHostGateway"],
  ] as const)("that can't mean the same are refused by %s: %j", async (chart, executor, message) => {
    await expect(renderChart(chart, { ...requiredValues[chart], executor })).rejects.toThrow(message);
  });
});

describe.each(["airlock-executor", "airlock-executor-dind"] as const)("an executor for each job by %s", (chart) => {
  it("is a Job that ends after one job, and needs no Deployment", async () => {
    const autoscaling = { kind: "keda-jobs", prometheusUrl: "http://prometheus:9090" };
    const manifests = await renderChart(chart, { ...requiredValues[chart], autoscaling });
    const [scaled] = find(manifests, "ScaledJob");
    const pod = scaled?.spec?.jobTargetRef?.template.spec;
    const variables = new Map(pod?.containers[0]?.env.map(({ name, value }) => [name, value]));

    expect(find(manifests, "Deployment")).toEqual([]);
    expect(pod?.restartPolicy).toBe("Never");
    expect(variables.get("EXECUTOR_NUM_TOTAL_JOBS")).toBe("1");
    expect(variables.get("EXECUTOR_MAXIMUM_NUM_JOBS")).toBe("1");
  });
});

it("the migrations of an upgrade run before its pods, only with a PostgreSQL server", async () => {
  const [job] = find(await renderChart("airlock", everything.airlock), "Job");
  expect(job?.metadata.annotations?.["helm.sh/hook"]).toBe("pre-install,pre-upgrade");
  expect(find(await renderChart("airlock", requiredValues.airlock), "Job")).toEqual([]);
});

describe("executors with Docker in their pod", () => {
  const podOf = async (values: object) => {
    const manifests = await renderChart("airlock-executor-dind", {
      ...requiredValues["airlock-executor-dind"],
      ...values,
    });
    const [deployment] = find(manifests, "Deployment");
    const pod = deployment?.spec?.template?.spec ?? expect.unreachable();
    const [docker] = pod.initContainers ?? [];
    const config = JSON.parse(find(manifests, "ConfigMap")[0]?.data?.["daemon.json"] ?? "");
    return { manifests, pod, docker: docker ?? expect.unreachable(), executor: pod.containers[0], config };
  };

  it("have an engine that no network reaches, and that ends after the executor", async () => {
    for (const kind of ["plain", "gvisor", "rootless"]) {
      const { docker } = await podOf({ daemon: { kind } });
      const hosts = docker.command?.filter((word) => word.startsWith("--host"));
      expect(hosts).toEqual(["--host=unix:///docker-socket/docker.sock"]);
      expect(docker.restartPolicy).toBe("Always");
    }
  });

  it("are privileged only where the kind of the engine needs it", async () => {
    const plain = await podOf({});
    expect([plain.docker, plain.executor].map((each) => each?.securityContext?.privileged)).toEqual([true, true]);
    expect(plain.config["userns-remap"]).toBe("airlock");
    const closed = await podOf({ job: { networkPolicies: false } });
    expect(closed.executor?.securityContext?.privileged).toBeUndefined();
    const gvisor = await podOf({ daemon: { kind: "gvisor" } });
    expect(gvisor.pod.runtimeClassName).toBe("gvisor");
    expect([gvisor.docker, gvisor.executor].map((each) => each?.securityContext?.privileged)).toEqual([
      undefined,
      undefined,
    ]);
    expect(gvisor.docker.securityContext?.capabilities?.add).toContain("SYS_ADMIN");
    const rootless = await podOf({ daemon: { kind: "rootless" } });
    expect(rootless.pod.securityContext).toMatchObject({ runAsNonRoot: true, runAsUser: 65532 });
    expect(rootless.executor?.securityContext?.capabilities).toEqual({ drop: ["ALL"] });
  });

  it("use the cache of the release, and the administrator's settings last", async () => {
    const { config, manifests } = await podOf({
      registryCache: { enabled: true },
      daemon: { registryMirrors: ["https://mirror.example.com"], config: { "max-concurrent-downloads": 1 } },
    });
    const cache = "test-airlock-executor-dind-cache.test:5000";
    expect(config["registry-mirrors"]).toEqual([`http://${cache}`, "https://mirror.example.com"]);
    expect(config["insecure-registries"]).toEqual([cache]);
    expect(config["max-concurrent-downloads"]).toBe(1);
    const [deployment] = find(manifests, "Deployment");
    expect(environment(deployment).get("EXECUTOR_DOCKER_REGISTRY_MIRROR_URL")).toBe(`http://${cache}`);
  });
});
