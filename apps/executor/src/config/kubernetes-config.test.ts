import { describe, expect, it } from "vitest";
import { parseConfig } from "./config.ts";

const minimal = {
  EXECUTOR_FRONTEND_URL: "https://airlock.example.com",
  EXECUTOR_FRONTEND_PASSWORD: "a-shared-secret-of-some-length",
  EXECUTOR_QUEUE_NAME: "default",
  EXECUTOR_RUNTIME: "kubernetes",
  EXECUTOR_KUBERNETES_AGENT_IMAGE: "registry.example.com/airlock-helper:1",
};

const parse = (more: Readonly<Record<string, string | undefined>> = {}) => parseConfig({ ...minimal, ...more });
const podsOf = (more: Readonly<Record<string, string>> = {}) => parse(more).runtime.kubernetes.pods;

function linesOf(more: Readonly<Record<string, string>>): string[] {
  try {
    parse(more);
    return [];
  } catch (error) {
    return String(error).split("\n");
  }
}

describe("the variables of the kubernetes runtime", () => {
  it("choose it by name, by EXECUTOR_USE_KUBERNETES, and by auto in a pod", () => {
    const pod = { KUBERNETES_SERVICE_HOST: "10.96.0.1" };
    expect(parse().runtime.kind).toBe("kubernetes");
    expect(parse({ EXECUTOR_RUNTIME: undefined, EXECUTOR_USE_KUBERNETES: "true" }).runtime.kind).toBe("kubernetes");
    expect(parse({ EXECUTOR_RUNTIME: undefined, ...pod }).runtime.kind).toBe("kubernetes");
    // An executor beside a Docker engine also runs in a pod.
    expect(parse({ EXECUTOR_RUNTIME: "auto", ...pod, DOCKER_HOST: "unix:///run/d.sock" }).runtime.kind).toBe("auto");
    expect(parse({ EXECUTOR_RUNTIME: "docker", ...pod }).runtime.kind).toBe("docker");
    expect(parse({ EXECUTOR_RUNTIME: "auto", ...pod, EXECUTOR_KUBERNETES_AGENT_IMAGE: "" }).runtime.kind).toBe("auto");
  });

  it("default to pods without privileges that ask the registry for each image", () => {
    expect(parse().runtime.kubernetes).toMatchObject({ kubeconfig: null, namespace: "default", schedulingMs: 120_000 });
    expect(parse({ EXECUTOR_KUBERNETES_START_TIMEOUT: "90s" }).runtime.kubernetes.startingMs).toBe(90_000);
    expect(podsOf()).toMatchObject({
      user: { kind: "restricted", uid: 1000, gid: 1000 },
      fsGroup: 1000,
      stepPullPolicy: "Always",
      placement: { nodeTerm: { matchExpressions: [], matchFields: [] } },
    });
    expect(podsOf({ EXECUTOR_IMAGE_PULL_POLICY: "if-not-present" }).stepPullPolicy).toBe("IfNotPresent");
    expect(podsOf({ EXECUTOR_KUBERNETES_POD_SECURITY: "baseline" })).toMatchObject({ user: { kind: "image" } });
  });

  it("keep the meaning that Sourcegraph gave them", () => {
    const pods = podsOf({
      EXECUTOR_KUBERNETES_NODE_NAME: "node-1",
      EXECUTOR_KUBERNETES_NODE_SELECTOR: "pool=jobs, example.com/disk=ssd",
      EXECUTOR_KUBERNETES_NODE_REQUIRED_AFFINITY_MATCH_EXPRESSIONS: '[{"key":"a","operator":"Exists"}]',
      EXECUTOR_KUBERNETES_NODE_REQUIRED_AFFINITY_MATCH_FIELDS:
        '[{"key":"metadata.name","operator":"NotIn","values":["node-2"]}]',
      EXECUTOR_KUBERNETES_POD_AFFINITY: '[{"topologyKey":"zone","labelSelector":{"matchLabels":{"app":"cache"}}}]',
      EXECUTOR_KUBERNETES_NODE_TOLERATIONS: '[{"key":"jobs","operator":"Equal","value":"yes","effect":"NoExecute"}]',
      EXECUTOR_KUBERNETES_RESOURCE_REQUEST_CPU: "250m",
      EXECUTOR_KUBERNETES_RESOURCE_REQUEST_MEMORY: "1Gi",
      KUBERNETES_RUN_AS_USER: "2000",
      KUBERNETES_RUN_AS_GROUP: "3000",
      KUBERNETES_FS_GROUP: "4000",
      KUBERNETES_JOB_VOLUME_TYPE: "pvc",
      KUBERNETES_JOB_VOLUME_SIZE: "10Gi",
      KUBERNETES_ADDITIONAL_JOB_VOLUMES: '[{"name":"tools","configMap":{"name":"tools"}}]',
      KUBERNETES_ADDITIONAL_JOB_VOLUME_MOUNTS: '[{"name":"tools","mountPath":"/opt/tools","readOnly":true}]',
      KUBERNETES_JOB_ANNOTATIONS: '{"a":"job","b":"job"}',
      KUBERNETES_JOB_POD_ANNOTATIONS: '{"b":"pod"}',
      KUBERNETES_IMAGE_PULL_SECRETS: "one, two",
      KUBERNETES_IMAGE_PULL_POLICY: "Never",
    });
    expect(pods).toMatchObject({
      placement: {
        nodeName: "node-1",
        nodeSelector: { pool: "jobs", "example.com/disk": "ssd" },
        nodeTerm: {
          matchExpressions: [{ key: "a", operator: "Exists" }],
          matchFields: [{ key: "metadata.name", operator: "NotIn", values: ["node-2"] }],
        },
        podAffinity: [{ topologyKey: "zone", labelSelector: { matchLabels: { app: "cache" } } }],
        tolerations: [{ key: "jobs", operator: "Equal", value: "yes", effect: "NoExecute" }],
      },
      requests: { cpus: 0.25, memoryBytes: 2 ** 30 },
      user: { kind: "restricted", uid: 2000, gid: 3000 },
      fsGroup: 4000,
      workspaceClaim: { bytes: 10 * 2 ** 30 },
      volumes: [{ name: "tools", configMap: { name: "tools" } }],
      volumeMounts: [{ name: "tools", mountPath: "/opt/tools", readOnly: true }],
      annotations: { a: "job", b: "pod" },
      imagePullSecrets: ["one", "two"],
      stepPullPolicy: "Never",
    });
  });

  it("limit a job by Kubernetes' names of the limits, and by the shorter deadline", () => {
    const { job } = parse({
      EXECUTOR_KUBERNETES_RESOURCE_LIMIT_CPU: "64",
      EXECUTOR_KUBERNETES_RESOURCE_LIMIT_MEMORY: "3Gi",
      KUBERNETES_JOB_VOLUME_SIZE: "5Gi",
      KUBERNETES_JOB_DEADLINE: "1200",
    });
    expect(job).toMatchObject({ maximumCpus: 64, maximumMemoryBytes: 3 * 2 ** 30, maximumDiskBytes: 5 * 2 ** 30 });
    expect(job.machineCpus).toBeGreaterThanOrEqual(64);
    expect(job.maximumRuntimeMs).toBe(1_200_000);
    // Sourcegraph's default of 20 minutes ended pods before the limit of their job.
    expect(parse().job.maximumRuntimeMs).toBe(1_800_000);
    expect(parse({ KUBERNETES_JOB_DEADLINE: "86400" }).job.maximumRuntimeMs).toBe(1_800_000);
  });

  it.each([
    ["EXECUTOR_KUBERNETES_AGENT_IMAGE", "", "airlock-helper"],
    ["EXECUTOR_KUBERNETES_CONFIG_PATH", "kube/config", "absolute path"],
    ["EXECUTOR_KUBERNETES_NAMESPACE", "No_Namespace", "lower-case"],
    ["EXECUTOR_KUBERNETES_NODE_SELECTOR", "pool", "NAME=VALUE"],
    ["EXECUTOR_KUBERNETES_NODE_TOLERATIONS", "{not json", "is not JSON"],
    ["EXECUTOR_KUBERNETES_NODE_TOLERATIONS", '[{"operator":"Equal"}]', "[0]"],
    ["EXECUTOR_KUBERNETES_NODE_TOLERATIONS", '[{"key":"a","operator":"Exists","effect":"Never"}]', "[0].effect"],
    ["EXECUTOR_KUBERNETES_POD_AFFINITY", '[{"labelSelector":{}}]', "[0].topologyKey"],
    ["EXECUTOR_KUBERNETES_POD_ANTI_AFFINITY", '{"topologyKey":"zone"}', "array"],
    ["EXECUTOR_KUBERNETES_NODE_REQUIRED_AFFINITY_MATCH_EXPRESSIONS", '[{"key":"a","operator":"In"}]', "values"],
    ["EXECUTOR_KUBERNETES_NODE_REQUIRED_AFFINITY_MATCH_EXPRESSIONS", '[{"key":"a","operator":"Like"}]', "operator"],
    [
      "EXECUTOR_KUBERNETES_NODE_REQUIRED_AFFINITY_MATCH_FIELDS",
      '[{"key":"spec.x","operator":"In","values":["a"]}]',
      "metadata.name",
    ],
    ["EXECUTOR_KUBERNETES_RESOURCE_LIMIT_CPU", "4cores", "500m"],
    ["EXECUTOR_KUBERNETES_RESOURCE_REQUEST_MEMORY", "lots", "512Mi"],
    ["KUBERNETES_JOB_DEADLINE", "20m", "seconds"],
    ["KUBERNETES_RUN_AS_USER", "root", "2147483647"],
    ["KUBERNETES_RUN_AS_USER", "2147483648", "2147483647"],
    ["KUBERNETES_RUN_AS_USER", "0", "EXECUTOR_KUBERNETES_POD_SECURITY=baseline"],
    ["KUBERNETES_JOB_VOLUME_TYPE", "hostPath", "emptyDir or pvc"],
    ["KUBERNETES_ADDITIONAL_JOB_VOLUMES", '[{"name":"x","hostPath":{"path":"/"}}]', "no directory of the node"],
    ["KUBERNETES_ADDITIONAL_JOB_VOLUMES", '[{"name":"Cache","emptyDir":{}}]', "lower-case"],
    ["KUBERNETES_ADDITIONAL_JOB_VOLUMES", '[{"name":"x"}]', "needs a name and one of"],
    [
      "KUBERNETES_ADDITIONAL_JOB_VOLUMES",
      '[{"name":"x","projected":{"sources":[{"serviceAccountToken":{"path":"t"}}]}}]',
      "token of a service account",
    ],
    ["KUBERNETES_ADDITIONAL_JOB_VOLUME_MOUNTS", '[{"name":"x","mountPath":"/opt"}]', "not in KUBERNETES_ADDITIONAL"],
    ["KUBERNETES_ADDITIONAL_JOB_VOLUME_MOUNTS", '[{"name":"x","mountPath":"/data/x"}]', "outside /data"],
    ["KUBERNETES_JOB_ANNOTATIONS", '{"a":1}', "at a"],
    ["KUBERNETES_JOB_POD_ANNOTATIONS", '{"airlock.sandbox":"x"}', "own annotations"],
    ["KUBERNETES_IMAGE_PULL_SECRETS", "one,TWO", "TWO"],
    ["KUBERNETES_IMAGE_PULL_POLICY", "always", "Always, IfNotPresent, Never"],
    ["KUBERNETES_JOB_HOST_NETWORK", "true", "network of the node"],
    ["EXECUTOR_JOB_NUM_CPUS", "0", "must not be 0"],
  ])("refuse %s=%s with the next step", (name, value, expected) => {
    const line = linesOf({ [name]: value }).find((each) => each.startsWith(`  - ${name} `));

    expect(line).toContain(expected);
  });

  it("refuse one runtime that two variables name differently", () => {
    expect(() => parse({ EXECUTOR_USE_FIRECRACKER: "true" })).toThrow("unset one of them");
    expect(() => parse({ EXECUTOR_RUNTIME: "oci", EXECUTOR_USE_KUBERNETES: "true" })).toThrow("unset one of them");
  });

  it("are named when they have no effect, with the reason", () => {
    const notes = parse({
      KUBERNETES_KEEP_JOBS: "true",
      KUBERNETES_SINGLE_JOB_POD: "false",
      KUBERNETES_JOB_STEP_IMAGE: "x",
      KUBERNETES_SINGLE_JOB_STEP_IMAGE: "x",
      KUBERNETES_GIT_CA_CERT: "/x",
      EXECUTOR_KUBERNETES_PERSISTENCE_VOLUME_NAME: "x",
      EXECUTOR_SANDBOX_CAPABILITIES: "none",
      EXECUTOR_JOB_MEMORY: "1G",
      EXECUTOR_KUBERNETES_RESOURCE_LIMIT_MEMORY: "2G",
    }).notes.join("\n");

    expect(notes).toMatch(/^KUBERNETES_KEEP_JOBS has no effect: pods are deleted/m);
    expect(notes).toMatch(/^KUBERNETES_SINGLE_JOB_POD has no effect: each job/m);
    expect(notes).toMatch(/^KUBERNETES_JOB_STEP_IMAGE has no effect: the executor itself/m);
    expect(notes).toMatch(/^KUBERNETES_SINGLE_JOB_STEP_IMAGE has no effect/m);
    expect(notes).toMatch(/^KUBERNETES_GIT_CA_CERT has no effect: .*NODE_EXTRA_CA_CERTS/m);
    expect(notes).toMatch(/^EXECUTOR_KUBERNETES_PERSISTENCE_VOLUME_NAME has no effect/m);
    expect(notes).toMatch(/^EXECUTOR_SANDBOX_CAPABILITIES has no effect in pods/m);
    expect(notes).toMatch(/^EXECUTOR_JOB_MEMORY has no effect, because EXECUTOR_KUBERNETES_RESOURCE_LIMIT_MEMORY/m);
    const others = parseConfig({ ...minimal, EXECUTOR_RUNTIME: "oci", EXECUTOR_KUBERNETES_NAMESPACE: "x" }).notes;
    expect(others).toContain("EXECUTOR_KUBERNETES_NAMESPACE has no effect without EXECUTOR_RUNTIME=kubernetes.");
  });
});
