import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { buildPodAgent, manifestOfRules } from "@airlock/runtime/kubernetes";
import {
  buildImage,
  busyboxImage,
  type ClusterAccess,
  clusterHookMs,
  createDatabase,
  describeWithEngines,
  engines,
  type FixtureImage,
  InstanceProcess,
  importImage,
  kubectl,
  kubernetesCluster,
  temporaryDirectory,
} from "@airlock/test-kit";
import { afterAll, beforeAll, expect, it } from "vitest";
import { testSecret } from "../../testing/scripted-instance.ts";

interface ShownJob {
  readonly id: number;
  readonly state: string;
  readonly exitCode: number | null;
}

const main = join(import.meta.dirname, "../../main.ts");
const document = join(import.meta.dirname, "../../../../../docs/kubernetes.md");
const run = randomBytes(4).toString("hex");
const namespace = `airlock-jobs-${run}`;

describeWithEngines(["kubernetes", "postgres"], "an executor in Kubernetes", () => {
  const stack = new AsyncDisposableStack();
  let dir: string;
  let cluster: ClusterAccess;
  let instance: InstanceProcess;
  let kubeconfig: string;
  let manifest: string;
  let image: string;
  let env: Readonly<Record<string, string>>;

  beforeAll(async () => {
    dir = stack.use(await temporaryDirectory("kj-")).path;
    cluster = await kubernetesCluster();
    const database = stack.use(await createDatabase(engines().postgres?.url ?? ""));
    const dataDirectory = join(dir, "instance");
    instance = stack.use(await InstanceProcess.start({ databaseUrl: database.url, dataDirectory }));
    image = await load(await busyboxImage(), "shell");
    manifest = await manifestOfDocument();
    await kubectl(cluster, "create", "namespace", namespace);
    stack.defer(async () => void (await kubectl(cluster, "delete", "namespace", namespace, "--wait=false")));
    await kubectl(cluster, "--namespace", namespace, "create", "serviceaccount", "airlock-executor");
    kubeconfig = await kubeconfigOf("airlock-executor");
    env = {
      PATH: process.env.PATH ?? "",
      EXECUTOR_FRONTEND_URL: instance.url,
      EXECUTOR_FRONTEND_PASSWORD: testSecret,
      EXECUTOR_QUEUE_NAME: "default",
      EXECUTOR_DATA_DIR: join(dir, "executor"),
      EXECUTOR_RUNTIME: "kubernetes",
      EXECUTOR_UNENFORCED_LIMITS: "none",
      EXECUTOR_KUBERNETES_CONFIG_PATH: kubeconfig,
      EXECUTOR_KUBERNETES_NAMESPACE: namespace,
      EXECUTOR_KUBERNETES_AGENT_IMAGE: await loadAgent(),
      EXECUTOR_KUBERNETES_RESOURCE_LIMIT_CPU: "64",
      EXECUTOR_KUBERNETES_RESOURCE_LIMIT_MEMORY: "128Mi",
      EXECUTOR_KUBERNETES_SCHEDULING_TIMEOUT: "3s",
      KUBERNETES_IMAGE_PULL_POLICY: "IfNotPresent",
      SRC_LOG_LEVEL: "warn",
    };
  }, clusterHookMs);
  afterAll(() => stack.disposeAsync(), 60_000);

  async function load(fixture: FixtureImage, name: string): Promise<string> {
    const reference = `localhost/${name}-${run}:1`;
    await importImage(cluster, fixture, reference);
    return reference;
  }

  async function loadAgent(): Promise<string> {
    const output = join(dir, "agent");
    await buildPodAgent({ output, signal: AbortSignal.timeout(120_000) });
    return await load(await buildImage([[{ name: "agent", mode: 0o755, content: await readFile(output) }]]), "agent");
  }

  /** The manifest that administrators copy, for this suite's namespace. */
  async function manifestOfDocument(): Promise<string> {
    const [, found = ""] =
      /```yaml\n(apiVersion: v1\nkind: Namespace\n.*?)```/s.exec(await readFile(document, "utf8")) ?? [];
    expect(found).toContain(`rules:\n${manifestOfRules()}\n`);
    return found.replaceAll("airlock-jobs", namespace);
  }

  async function kubeconfigOf(account: string): Promise<string> {
    const token = (await kubectl(cluster, "--namespace", namespace, "create", "token", account)).trim();
    const path = join(dir, `${account}.kubeconfig`);
    const config = JSON.parse(await kubectl(cluster, "config", "view", "--raw", "-o", "json"));
    config.users = config.users.map(({ name }: { name: string }) => ({ name, user: { token } }));
    await writeFile(path, JSON.stringify(config), { mode: 0o600 });
    return path;
  }

  /** Another kubeconfig. */
  async function changed(name: string, change: (text: string) => string): Promise<string> {
    const path = join(dir, `${name}.kubeconfig`);
    await writeFile(path, change(await readFile(kubeconfig, "utf8")), { mode: 0o600 });
    return path;
  }

  async function validate(more: Readonly<Record<string, string>> = {}) {
    const child = spawn(process.execPath, [main, "validate"], {
      env: { ...env, ...more },
      stdio: ["ignore", "pipe", "inherit"],
    });
    const [output, [code]] = await Promise.all([text(child.stdout), once(child, "exit")]);
    return { output, code };
  }

  function startProgram(more: Readonly<Record<string, string>> = {}) {
    const child = spawn(process.execPath, [main, "run"], {
      env: { ...env, ...more },
      stdio: ["ignore", "ignore", "inherit"],
    });
    const end = async (signal: NodeJS.Signals) => {
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.kill(signal);
      await once(child, "exit");
    };
    stack.defer(() => end("SIGTERM"));
    return end;
  }

  const show = async (id: number) => (await instance.rest("GET", `/jobs/${id}`)) as ShownJob;
  const logOf = async (id: number) => (await instance.rest("GET", `/jobs/${id}/logs`)) as string;
  const objects = async (kinds: string) =>
    (await kubectl(cluster, "--namespace", namespace, "get", kinds, "-o", "name")).split("\n").filter(Boolean);
  async function submit(
    steps: readonly string[],
    resources: object = { cpus: 0.1 },
    queue: string = "default",
  ): Promise<number> {
    const { id } = (await instance.rest("POST", "/jobs", {
      steps: steps.map((command, index) => ({ key: `s${index}`, image, run: command })),
      egress: "none",
      resources,
      queue,
    })) as ShownJob;
    return id;
  }

  it("is told by validate which rights, objects and nodes are missing", async () => {
    const { output, code } = await validate();
    expect(code).toBe(1);
    expect(output).toMatch(/^FAIL {2}kubernetes: the cluster at https:.* is not ready:$/m);
    for (const right of ["create pods", "watch pods", "get pods/exec", "patch pods/ephemeralcontainers"])
      expect(output).toContain(`The executor may not ${right} in the namespace ${namespace}, which it needs to`);
    expect(output).toContain("may not create networkpolicies.networking.k8s.io");

    await writeFile(join(dir, "manifest.yaml"), manifest);
    await kubectl(cluster, "apply", "-f", join(dir, "manifest.yaml"));
    await kubectl(cluster, "--namespace", namespace, "create", "quota", "some", "--hard=pods=50");
    const [wrong, dead, elsewhere, stranger, privileged] = await Promise.all([
      validate({ EXECUTOR_KUBERNETES_RUNTIME_CLASS: "missing", EXECUTOR_KUBERNETES_NODE_NAME: "nowhere" }),
      validate({ EXECUTOR_KUBERNETES_CONFIG_PATH: join(dir, "none") }),
      validate({ EXECUTOR_KUBERNETES_CONFIG_PATH: await changed("elsewhere", (text) => text.replace(/:\d+"/, ':1"')) }),
      validate({
        EXECUTOR_KUBERNETES_CONFIG_PATH: await changed("stranger", (text) => text.replace(/"token":"/, "$&x")),
      }),
      validate({ EXECUTOR_KUBERNETES_CONFIG_PATH: cluster.kubeconfigPath, EXECUTOR_KUBERNETES_NODE_NAME: "nowhere" }),
    ]);
    expect(wrong.output).toMatch(/RuntimeClass "missing" not found.*EXECUTOR_KUBERNETES_RUNTIME_CLASS/);
    expect(wrong.output).toContain("can't tell whether the node nowhere exists");
    expect(elsewhere.output).toMatch(/^FAIL {2}runtime: the API server https:\S+:1 can't be reached/m);
    expect(stranger.output).toMatch(/^FAIL {2}runtime: the API server \S+ refuses the credentials: Unauthorized$/m);
    expect(privileged.output).toMatch(/no node "nowhere": correct EXECUTOR_KUBERNETES_NODE_NAME/);
    expect(dead.output).toMatch(/^FAIL {2}runtime: cannot read the kubeconfig .*\/none: .*ENOENT/m);
  }, 90_000);

  it("passes validate with the rights of the documentation", async () => {
    const { output, code } = await validate();

    expect(output).toContain("All checks passed!");
    expect(code).toBe(0);
    expect(output).toMatch(/^ok {4}kubernetes: v1\.\d+\.\d+ at https:.*, namespace /m);
    expect(output).toContain(`The namespace ${namespace} enforces the Pod Security level restricted.`);
    expect(output).toContain("The ResourceQuota some has in use: pods 0 of 50.");
    expect(output).toContain("With the pull policy IfNotPresent");
  }, 60_000);

  it("runs jobs with those rights: live logs, exit codes, and the reason why no node fits", async () => {
    startProgram();
    const done = await submit(["echo started; echo apart >&2; cat > file", "ls; id -u"]);
    const waits = await submit(["echo started; while ! test -e over; do sleep 0.2; done; exit 3"]);

    await expect.poll(async () => (await show(done)).state, { timeout: 60_000 }).toBe("completed");
    expect(await logOf(done)).toMatch(/started\n.*file\n1000\n/s);
    // The step never ends by itself, so what the log has is live.
    await expect.poll(() => logOf(waits), { timeout: 30_000 }).toContain("started\n");
    await instance.rest("POST", `/jobs/${waits}/cancel`);
    const fails = await submit(["exit 3"]);
    const tooLarge = await submit(["true"], { cpus: 64 });

    await expect
      .poll(async () => await show(fails), { timeout: 30_000 })
      .toMatchObject({ state: "failed", exitCode: 3 });
    await expect.poll(() => logOf(tooLarge), { timeout: 30_000 }).toMatch(/no node has room .*Insufficient cpu/);
    const firstLog = () => instance.rest("GET", `/jobs/${tooLarge}/logs?attempt=1`);
    await expect.poll(firstLog, { timeout: 10_000 }).toMatch(/no node ran the job's pod within 3\.0s: /);
    await instance.rest("POST", `/jobs/${tooLarge}/cancel`);
    const left = () => kubectl(cluster, "--namespace", namespace, "get", "pods,secrets", "-o", "name");
    await expect.poll(left, { timeout: 30_000 }).toBe("");
  }, 180_000);

  it("leaves nothing of its jobs when it is killed, and nothing else is touched", async () => {
    const queue = "killed";
    await instance.rest("POST", "/queues", { name: queue, leaseMs: 3000 });
    const ofOther = await submit(["echo started; while ! test -e over; do sleep 0.2; done"]);
    await expect.poll(() => logOf(ofOther), { timeout: 30_000 }).toContain("started\n");
    const others = await objects("pods");
    const settings = {
      EXECUTOR_QUEUE_NAME: queue,
      EXECUTOR_DATA_DIR: join(dir, "killed"),
      EXECUTOR_MAXIMUM_NUM_JOBS: "3",
      EXECUTOR_KUBERNETES_SCHEDULING_TIMEOUT: "10m",
    };
    const end = startProgram(settings);

    // One in a step, one that waits for a node, and one whose pod is being made.
    const inStep = await submit(["echo started; sleep 600"], undefined, queue);
    const waits = await submit(["true"], { cpus: 64 }, queue);
    await expect.poll(() => logOf(inStep), { timeout: 30_000 }).toContain("started\n");
    await expect.poll(() => logOf(waits), { timeout: 30_000 }).toContain("no node has room");
    const starts = await submit(["true"], undefined, queue);
    await expect.poll(() => objects("pods"), { timeout: 30_000, interval: 50 }).toHaveLength(others.length + 3);
    await end("SIGKILL");
    const left = (await objects("pods")).filter((name) => !others.includes(name));
    expect(left).toHaveLength(3);

    const endSuccessor = startProgram(settings);
    await expect
      .poll(async () => (await objects("pods")).filter((name) => left.includes(name)), { timeout: 30_000 })
      .toEqual([]);
    await expect.poll(async () => (await show(starts)).state, { timeout: 60_000 }).toBe("completed");
    for (const id of [inStep, waits]) {
      await expect
        .poll(async () => await show(id), { timeout: 30_000 })
        .toMatchObject({
          attempts: [{ state: "errored", failureReason: "lease-lost" }, { state: "processing" }],
        });
      await instance.rest("POST", `/jobs/${id}/cancel`);
    }
    await expect.poll(() => objects("pods"), { timeout: 30_000 }).toEqual(others);
    await endSuccessor("SIGTERM");

    expect(await show(ofOther)).toMatchObject({ state: "processing", attempts: [{ state: "processing" }] });
    await instance.rest("POST", `/jobs/${ofOther}/cancel`);
    await expect.poll(() => objects("pods,secrets,persistentvolumeclaims"), { timeout: 30_000 }).toEqual([]);
    expect(await objects("configmaps")).toEqual(["configmap/kube-root-ca.crt"]);
  }, 180_000);
});
