import { randomBytes } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import {
  busyboxImage,
  clusterHookMs,
  describeWithEngines,
  kubectl,
  openWorkplace,
  type PrivateRegistry,
  pushImage,
  startPrivateRegistry,
  temporaryDirectory,
  trustRegistry,
} from "@airlock/test-kit";
import { afterAll, beforeAll, expect, it } from "vitest";
import type { RegistryCredentials, Runtime, Sandbox, SandboxPlan } from "../contract/index.ts";
import { defaultImagePolicy } from "../images/policy/image-policy.ts";
import { parseImagePattern } from "../images/reference/image-pattern.ts";
import { openTestNamespace, type RuntimeChanges, type TestNamespace } from "./testing/kubernetes-under-test.ts";

const uid = 1_234_567;
const signal = new AbortController().signal;

let stack: AsyncDisposableStack;
let namespace: TestNamespace;

interface Prepared {
  readonly failure: unknown;
  readonly words: string;
  readonly ms: number;
}

function open(changes: RuntimeChanges = {}): Runtime {
  const runtime = namespace.createRuntime(changes);
  stack.defer(() => runtime.close());
  return runtime;
}

async function create(runtime: Runtime, changes: Partial<SandboxPlan> = {}): Promise<Sandbox> {
  const plan: SandboxPlan = {
    id: `pods-${randomBytes(4).toString("hex")}`,
    owner: "pods",
    workspace: { checkout: null, files: [], readOnlyFiles: [] },
    limits: { cpus: 0.5, memoryBytes: 128e6, pids: 100 },
    egress: { kind: "none" },
    ...changes,
  };
  return await runtime.createSandbox(plan, { signal });
}

async function inNamespace(...words: readonly string[]): Promise<string> {
  return await kubectl(namespace.cluster, "--namespace", namespace.name, ...words);
}

describeWithEngines(["kubernetes", "registry"], "private images in Kubernetes", () => {
  let registry: PrivateRegistry;
  let runtime: Runtime;
  let image: string;
  beforeAll(async () => {
    stack = new AsyncDisposableStack();
    namespace = stack.use(await openTestNamespace("restricted", { kind: "restricted", uid, gid: uid }));
    registry = stack.use(await startPrivateRegistry(namespace.cluster.hostAddress));
    await trustRegistry(namespace.cluster, registry.address);
    const { authorization } = registry.users[0];
    image = await pushImage(await busyboxImage({ Env: ["PATH=/bin", `OF=${namespace.run}`] }), {
      registry: registry.address,
      repository: "team/secret",
      authorization,
    });
    runtime = open({ pods: { stepPullPolicy: "Always" } });
  }, clusterHookMs);
  afterAll(() => stack?.disposeAsync());

  async function prepare(credentials: RegistryCredentials | undefined, used = runtime, of = image): Promise<Prepared> {
    const registryAuth = credentials ? { [registry.address]: credentials } : {};
    await using sandbox = await create(used, { registryAuth });
    const words: string[] = [];
    const startedAt = performance.now();
    const progress = (text: string) => void words.push(text);
    const failure = await sandbox.prepareImage(of, { signal, progress }).then(
      () => null,
      (error: unknown) => error,
    );
    return { failure, words: words.join("\n"), ms: performance.now() - startedAt };
  }

  it("are pulled with the job's credentials, of which the namespace keeps nothing", async () => {
    const [alice] = registry.users;
    const { failure, words } = await prepare(alice);

    expect(failure).toBeNull();
    expect(words).toMatch(/^Pulling image .*\nSuccessfully pulled image /);
    expect(words).not.toContain(alice.password);
    await expect.poll(() => inNamespace("get", "secrets", "-o", "name"), { timeout: 20_000 }).toBe("");
  });

  it("are refused without credentials, with wrong ones, and with those that Kubernetes can't use", async () => {
    const wrong = { username: "alice", password: "wrong-password-of-alice" };
    const token = { username: "", password: "", identityToken: "token" };

    const never = open({ pods: { stepPullPolicy: "Never" } });
    const [without, refused, absent] = await Promise.all([
      prepare(undefined),
      prepare(wrong),
      prepare(undefined, never, `${image}-absent`),
    ]);

    expect(without.failure).toMatchObject({ reason: "image-invalid" });
    expect(refused.failure).toMatchObject({ reason: "image-invalid" });
    expect(JSON.stringify(refused)).not.toContain(wrong.password);
    expect(absent.failure).toMatchObject({ reason: "policy" });
    // The kubelet puts the reason into the pod's status only when it tries again, after at least 10 s.
    for (const { ms } of [without, refused, absent]) expect(ms).toBeLessThan(8_000);
    expect((await prepare(token)).failure).toMatchObject({ reason: "policy" });
  });
});

describeWithEngines(["kubernetes"], "the pods of the Kubernetes runtime", () => {
  let image: string;
  beforeAll(async () => {
    stack = new AsyncDisposableStack();
    namespace = stack.use(await openTestNamespace("restricted", { kind: "restricted", uid, gid: uid }));
    image = await namespace.load(await busyboxImage(), "shell");
  }, clusterHookMs);
  afterAll(() => stack?.disposeAsync());

  it("have the administrator's settings, and pass the restricted standard", async () => {
    const node = await kubectl(namespace.cluster, "get", "nodes", "-o", "jsonpath={.items[0].metadata.name}");
    await inNamespace("create", "serviceaccount", "jobs");
    await inNamespace("create", "configmap", "tools", "--from-literal=greeting=hello");
    await using directory = await temporaryDirectory();
    const runtimeClass = `class-${namespace.run}`;
    const manifest = { apiVersion: "node.k8s.io/v1", kind: "RuntimeClass", metadata: { name: runtimeClass } };
    await writeFile(join(directory.path, "class.json"), JSON.stringify({ ...manifest, handler: "runc" }));
    await kubectl(namespace.cluster, "create", "-f", join(directory.path, "class.json"));
    stack.defer(async () => void (await kubectl(namespace.cluster, "delete", "runtimeclass", runtimeClass)));
    const runtime = open({
      pods: {
        requests: { cpus: 64, memoryBytes: 1e6 },
        fsGroup: 4321,
        serviceAccount: "jobs",
        annotations: { "example.com/team": "a b" },
        placement: {
          nodeName: node,
          nodeSelector: { "kubernetes.io/os": "linux" },
          nodeTerm: { matchExpressions: [{ key: "kubernetes.io/arch", operator: "Exists" }] },
          podAntiAffinity: [
            {
              topologyKey: "kubernetes.io/hostname",
              labelSelector: { matchLabels: { "app.kubernetes.io/name": "x" } },
            },
          ],
          tolerations: [{ key: "jobs", operator: "Exists", effect: "NoSchedule" }],
          priorityClass: "system-node-critical",
          runtimeClass,
        },
        volumes: [{ name: "greeting", configMap: { name: "tools" } }],
        volumeMounts: [{ name: "greeting", mountPath: "/opt/greeting", readOnly: true }],
      },
    });

    await using place = await openWorkplace(runtime, { owner: "settings", image });
    const { stdout } = await place.run("cat /opt/greeting/greeting; echo; stat -c %g /data; ls /var/run/secrets");
    const [pod] = JSON.parse(await inNamespace("get", "pods", "-o", "json")).items;

    expect(stdout).toBe("hello\n4321\n");
    expect(pod.metadata.annotations["example.com/team"]).toBe("a b");
    expect(pod.spec).toMatchObject({
      serviceAccountName: "jobs",
      priorityClassName: "system-node-critical",
      runtimeClassName: runtimeClass,
    });
    expect(pod.spec.tolerations).toContainEqual({ key: "jobs", operator: "Exists", effect: "NoSchedule" });
    expect(pod.spec.affinity).toEqual({
      nodeAffinity: {
        requiredDuringSchedulingIgnoredDuringExecution: {
          nodeSelectorTerms: [
            {
              matchExpressions: [{ key: "kubernetes.io/arch", operator: "Exists" }],
              matchFields: [{ key: "metadata.name", operator: "In", values: [node] }],
            },
          ],
        },
      },
      podAntiAffinity: {
        requiredDuringSchedulingIgnoredDuringExecution: [
          { topologyKey: "kubernetes.io/hostname", labelSelector: { matchLabels: { "app.kubernetes.io/name": "x" } } },
        ],
      },
    });
    const { limits, requests } = pod.spec.containers[0].resources;
    expect(requests.cpu).toBe(limits.cpu);
    expect(Number(requests.memory)).toBeLessThan(30e6);
  });

  it.each([
    ["no node fits", { requests: {} }, { cpus: 64, memoryBytes: 128e6, pids: 100 }, /Insufficient cpu/],
    [
      "a claim never binds",
      { workspaceClaim: { bytes: 1e6 } },
      { cpus: 0.5, memoryBytes: 128e6, pids: 100 },
      /unbound|persistentvolumeclaim/i,
    ],
  ])("say within seconds why they wait if %s, and are given up", async (_, pods, limits, expected) => {
    const runtime = open({ pods, schedulingMs: 4_000 });
    const reasons: string[] = [];

    const refused = create(runtime, { limits, onWait: (reason) => void reasons.push(reason) });

    await expect(refused).rejects.toMatchObject({ reason: "runtime", message: expect.stringMatching(expected) });
    expect(reasons).toContainEqual(expect.stringMatching(expected));
    await expect
      .poll(() => inNamespace("get", "pods,persistentvolumeclaims", "-o", "name"), { timeout: 20_000 })
      .toBe("");
  });

  it("name the quota that is used up, and what else admission refuses", async () => {
    await inNamespace("create", "quota", "small", "--hard=pods=0");
    try {
      await expect(create(open())).rejects.toMatchObject({
        message: expect.stringContaining("exceeded quota: small"),
        hint: expect.stringContaining("ResourceQuota"),
      });
    } finally {
      await inNamespace("delete", "quota", "small");
    }
    await expect(create(open({ pods: { user: { kind: "image" } } }))).rejects.toMatchObject({
      message: expect.stringContaining("violates PodSecurity"),
      hint: expect.stringContaining("EXECUTOR_KUBERNETES_POD_SECURITY"),
    });
    await expect(create(open({ pods: { placement: { runtimeClass: "missing" } } }))).rejects.toMatchObject({
      message: expect.stringContaining('RuntimeClass "missing" not found'),
      hint: expect.stringContaining("EXECUTOR_KUBERNETES_RUNTIME_CLASS"),
    });
  });

  it("refuse images that the administrator does not allow", async () => {
    const images = { ...defaultImagePolicy, denied: [parseImagePattern("localhost/*")] };
    await using sandbox = await create(open({ images }));

    await expect(sandbox.prepareImage(image, { signal, progress: () => {} })).rejects.toMatchObject({
      reason: "policy",
      message: expect.stringContaining("EXECUTOR_DENIED_IMAGES"),
    });
  });

  it("that ended long ago are collected, whatever executor made them, and running ones are not", async () => {
    await using directory = await temporaryDirectory();
    await using _ = await create(open(), { owner: "running" });
    const [{ metadata, spec }] = JSON.parse(await inNamespace("get", "pods", "-o", "json")).items;
    const [agent] = spec.containers;
    // The agent of a pod whose executor never comes ends by itself.
    const containers = [{ ...agent, command: ["/agent", "serve", "1"] }];
    const volumes = spec.volumes.filter(({ name }: { name: string }) => !name.startsWith("kube-api-access"));
    const pod = {
      ...{ apiVersion: "v1", kind: "Pod", metadata: { name: "lost", labels: metadata.labels } },
      spec: { ...spec, containers, volumes, nodeName: undefined },
    };
    await writeFile(join(directory.path, "pod.json"), JSON.stringify(pod));
    await inNamespace("create", "-f", join(directory.path, "pod.json"));
    const phases = () => inNamespace("get", "pods", "-o", "jsonpath={.items[*].status.phase}");
    const collect = (keepEndedMs: number) =>
      open({ keepEndedMs }).collect({ owner: "another", keep: new Set(), signal });
    await expect.poll(phases, { timeout: 30_000 }).toMatch(/Succeeded|Failed/);

    expect(await collect(3_600_000)).toEqual({ sandboxes: 0, details: [] });
    expect(await collect(0)).toMatchObject({ sandboxes: 1, details: [expect.stringContaining("deleted")] });
    await expect.poll(phases, { timeout: 20_000 }).toBe("Running");
  });
});
