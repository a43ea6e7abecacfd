import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { createReadStream, readdirSync, readFileSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import path from "node:path";
import { promisify } from "node:util";
import {
  busyboxImage,
  type ClusterAccess,
  clusterHookMs,
  createDatabase,
  describeWithEngines,
  dockerArchive,
  engines,
  helm,
  importArchive,
  importImage,
  kubectl,
  kubernetesCluster,
  temporaryDirectory,
} from "@airlock/test-kit";
import { CreateBucketCommand, S3Client } from "@aws-sdk/client-s3";
import { beforeAll, expect, it } from "vitest";
import { parse } from "yaml";
import { buildImages, buildPrograms } from "../../images/build-images.ts";
import { root } from "../../programs/run.ts";
import { type ChartName, chartDirectory, charts, everything, renderChart } from "../render-chart.ts";
import { defineCustomKinds } from "./custom-kinds.ts";

const token = randomBytes(24).toString("hex");
const namespace = `charts-${randomBytes(4).toString("hex")}`;
const jobs = `${namespace}-jobs`;
const dindNamespace = `${namespace}-dind`;
const stepImage = "localhost/charts-step:1";

describeWithEngines(["kubernetes", "postgres", "s3"], "charts in a cluster", () => {
  const cleanup = new AsyncDisposableStack();
  let cluster: ClusterAccess;
  let directory: string;

  beforeAll(async () => {
    cluster = await kubernetesCluster();
    directory = cleanup.use(await temporaryDirectory("charts-")).path;
    await buildPrograms(path.join(directory, "programs"));
    const output = path.join(directory, "images");
    await buildImages(["--programs", path.join(directory, "programs"), "--output", output, "--dind"]);
    for (const name of ["instance", "executor", "helper", "executor-dind"]) {
      await importArchive(cluster, createReadStream(path.join(output, `airlock-${name}.tar`)));
    }
    await importImage(cluster, await busyboxImage(), stepImage);
    await kubectl(cluster, "create", "namespace", namespace);
    cleanup.defer(async () => void (await kubectl(cluster, "delete", "namespace", namespace, "--wait=false")));
    await kubectl(cluster, "create", "namespace", dindNamespace);
    cleanup.defer(async () => void (await kubectl(cluster, "delete", "namespace", dindNamespace, "--wait=false")));
    const level = (each: string, name: string) =>
      kubectl(cluster, "label", "namespace", each, `pod-security.kubernetes.io/enforce=${name}`);
    await level(namespace, "restricted");
    await level(dindNamespace, "privileged");
    const literals = { token, "executor-token": token, "secret-key": randomBytes(32).toString("hex") };
    const words = Object.entries(literals).map(([key, value]) => `--from-literal=${key}=${value}`);
    for (const each of [namespace, dindNamespace]) {
      await kubectl(cluster, "--namespace", each, "create", "secret", "generic", "airlock", ...words);
    }
    return () => cleanup.disposeAsync();
  }, clusterHookMs);

  const run = (...words: readonly string[]) => kubectl(cluster, "--namespace", namespace, ...words);
  const inDind = (...words: readonly string[]) => kubectl(cluster, "--namespace", dindNamespace, ...words);
  const whereOf = (chart: ChartName) => {
    const place = chart === "airlock-executor-dind" ? dindNamespace : namespace;
    return ["--kubeconfig", cluster.kubeconfigPath, "--namespace", place];
  };
  const install = async (
    release: string,
    chart: ChartName,
    values: Readonly<Record<string, string>>,
  ): Promise<void> => {
    const settings = Object.entries(values).flatMap(([name, value]) => ["--set", `${name}=${value}`]);
    const words = ["--wait", "--timeout", "120s", ...settings];
    await helm("install", release, chartDirectory(chart), ...whereOf(chart), ...words).catch(async (cause: unknown) => {
      // Helm says only that pods are not ready.
      const ask = chart === "airlock-executor-dind" ? inDind : run;
      const every = ["--prefix", "--all-containers", "--tail=20"];
      const logs = await ask("logs", ...every, "--selector", `app.kubernetes.io/instance=${release}`);
      const events = await ask("get", "events", "--output=custom-columns=:.involvedObject.name,:.message");
      throw new Error(`${release} did not start:\n${logs}\n${events}`, { cause });
    });
  };

  it("are accepted by the API server with every part turned on, and with each way of scaling", async () => {
    await using _ = await defineCustomKinds(cluster);
    const scaled = (["airlock-executor", "airlock-executor-dind"] as const).flatMap((chart) =>
      ["keda", "keda-jobs"].map((kind) => ({ chart, autoscaling: { kind, prometheusUrl: "http://prometheus:9090" } })),
    );
    for (const { chart, ...values } of [...charts.map((chart) => ({ chart })), ...scaled]) {
      const manifests = (await renderChart(chart, { ...everything[chart], ...values }))
        .filter(({ kind }) => kind !== "Namespace")
        .map((manifest) => ({ ...manifest, metadata: { ...manifest.metadata, namespace } }));
      const file = path.join(directory, `${chart}.json`);
      await writeFile(file, JSON.stringify({ apiVersion: "v1", kind: "List", items: manifests }));
      const words = ["apply", "--server-side", "--dry-run=server", "--validate=strict", "-f", file];
      expect((await run(...words)).trim().split("\n")).toHaveLength(manifests.length);
    }
  }, 120_000);

  it("become bases that kubectl applies and deletes, and components that change them", async () => {
    await using _ = await defineCustomKinds(cluster);
    for (const base of ["instance", "executor", "executor-dind"]) {
      const bases = path.join(root, "deploy/kustomize");
      const applied = await kubectl(
        cluster,
        "apply",
        "--server-side",
        "--validate=strict",
        "-k",
        path.join(bases, base),
      );
      for (const component of readdirSync(path.join(bases, "components", base))) {
        const overlay = await makeOverlay(bases, base, component);
        const words = ["apply", "--server-side", "--dry-run=server", "--validate=strict", "-k", overlay];
        expect(await kubectl(cluster, ...words), component).toContain("(server dry run)");
      }
      const deleted = await kubectl(cluster, "delete", "-k", path.join(bases, base), "--wait=false");
      expect(applied).toContain("serviceaccount/");
      expect(deleted.trim().split("\n")).toHaveLength(applied.trim().split("\n").length);
    }
  }, 120_000);

  /** An overlay of a base with one component. Kustomize wants relative paths. */
  async function makeOverlay(bases: string, base: string, component: string): Promise<string> {
    const overlay = path.join(directory, `overlay-${base}-${component}`);
    await mkdir(overlay);
    const relative = path.relative(overlay, bases);
    const kustomization = {
      apiVersion: "kustomize.config.k8s.io/v1beta1",
      kind: "Kustomization",
      resources: [path.join(relative, base)],
      components: [path.join(relative, "components", base, component)],
    };
    await writeFile(path.join(overlay, "kustomization.yaml"), JSON.stringify(kustomization));
    return overlay;
  }

  /** The requests of a user to the instance of the release. */
  const openInstance = async () => {
    const port = await run("get", "service", "airlock", "--output=jsonpath={.spec.ports[0].nodePort}");
    const node = new URL(parse(readFileSync(cluster.kubeconfigPath, "utf8")).clusters[0].cluster.server).hostname;
    const api = async (route: string, body?: object) => {
      const headers = { authorization: `Bearer ${token}`, "content-type": "application/json" };
      const options = body ? { method: "POST", headers, body: JSON.stringify(body) } : { headers };
      const response = await fetch(`http://${node}:${port}/api/v1${route}`, options);
      const text = await response.text();
      if (!response.ok) throw new Error(`${route}: ${response.status} ${text}`);
      return text;
    };
    const resources = { cpus: 1, memory: "128Mi", disk: "128Mi" };
    const stateOf = async (id: number) => JSON.parse(await api(`/jobs/${id}`)).state as string;
    return {
      submit: async (queue: string, script: string): Promise<number> => {
        const step = { key: "main", image: stepImage, run: script };
        return JSON.parse(await api("/jobs", { queue, steps: [step], egress: "none", resources })).id;
      },
      createQueue: (name: string) => api("/queues", { name }),
      show: async (id: number) => JSON.parse(await api(`/jobs/${id}`)),
      cancel: (id: number) => api(`/jobs/${id}/cancel`, {}),
      logOf: (id: number) => api(`/jobs/${id}/logs`),
      waitFor: async (id: number, states = /completed|failed|errored/) =>
        await expect.poll(() => stateOf(id), { timeout: 90_000, interval: 500 }).toMatch(states),
    };
  };

  it("run a job on each kind of executor, lose none in upgrades, and leave nothing after they are uninstalled", async () => {
    const before = await objects();
    await install("airlock", "airlock", {
      existingSecret: "airlock",
      "persistence.enabled": "false",
      "service.type": "NodePort",
      "resources.requests.cpu": "50m",
    });
    const { createQueue, submit, show, cancel, logOf, waitFor } = await openInstance();
    await createQueue("dind");
    // The cluster of tests has no DNS.
    const address = await run("get", "service", "airlock", "--output=jsonpath={.spec.clusterIP}");
    const common = {
      existingSecret: "airlock",
      frontendUrl: `http://${address}`,
      "env.EXECUTOR_QUEUE_POLL_INTERVAL": "200ms",
      "resources.requests.cpu": "50m",
      drainTimeoutSeconds: "20",
    };
    await install("airlock-executor", "airlock-executor", {
      ...common,
      "jobs.namespace": jobs,
      "jobs.imagePullPolicy": "Never",
      "env.EXECUTOR_KUBERNETES_RESOURCE_REQUEST_CPU": "50m",
    });
    await install("airlock-executor-dind", "airlock-executor-dind", {
      ...common,
      "queues[0].name": "dind",
      "queues[0].queueNames[0]": "dind",
      "daemon.resources.requests.cpu": "50m",
      "daemon.resources.requests.memory": "128Mi",
      "daemon.resources.limits.memory": "1Gi",
    });
    await loadStepImage();

    const first = await submit("default", "echo from-the-chart; id -u");
    const inDocker = await submit(
      "dind",
      "echo from-the-chart; id -u; read -r _ root _ </proc/self/uid_map; echo $root",
    );
    await waitFor(first);
    await waitFor(inDocker);
    expect(await logOf(first)).toContain("from-the-chart\n1000\n");
    expect((await show(inDocker)).attempts).toHaveLength(1);
    // Root of the container is an unprivileged user of the node.
    expect(await logOf(inDocker)).toContain("from-the-chart\n0\n100000\n");

    const killed = await submit("dind", "echo begun; sleep 3600");
    await expect.poll(() => logOf(killed), { timeout: 60_000 }).toContain("begun");
    killEngine(await inDind("get", "pods", "--output=jsonpath={.items[0].metadata.uid}"));
    // Begun again by the same executor, on the engine that Kubernetes has started in place of the killed one.
    await expect.poll(async () => (await show(killed)).attempts.length, { timeout: 90_000 }).toBe(2);
    await expect.poll(() => logOf(killed), { timeout: 60_000 }).toMatch(/attempt 2\.[\s\S]*^begun$/m);
    const [lost, again] = (await show(killed)).attempts;
    expect(lost).toMatchObject({ state: "errored", failureReason: "runtime" });
    expect(again.executor).toBe(lost.executor);
    await cancel(killed);
    await waitFor(killed, /canceled/);

    const running = [
      await submit("default", "echo begun; sleep 8; echo ended"),
      await submit("dind", "echo begun; sleep 8; echo ended"),
    ];
    for (const id of running) await waitFor(id, /processing/);
    const upgrade = ["--reuse-values", "--set", "podAnnotations.upgraded=yes", "--wait", "--timeout", "90s"];
    await Promise.all(
      (["airlock-executor", "airlock-executor-dind"] as const).map((chart) =>
        helm("upgrade", chart, chartDirectory(chart), ...whereOf(chart), ...upgrade),
      ),
    );
    for (const id of running) {
      await waitFor(id);
      // The old pod finished the job while it drained: no other one began it again.
      expect(await show(id)).toMatchObject({ state: "completed", attempts: [expect.anything()] });
      expect((await logOf(id)).match(/^(?:begun|ended)$/gm)).toEqual(["begun", "ended"]);
    }

    for (const release of ["airlock-executor-dind", "airlock-executor", "airlock"] as const) {
      await helm("uninstall", release, ...whereOf(release), "--wait", "--timeout", "120s");
    }
    await run("wait", "--for=delete", `namespace/${jobs}`, "--timeout=60s");
    await expect.poll(objects, { timeout: 60_000, interval: 500 }).toEqual(before);
  }, 400_000);

  it("run two instances on PostgreSQL and object storage, after a Job has migrated the database", async () => {
    await using stack = new AsyncDisposableStack();
    const database = stack.use(await createDatabase(engines().postgres?.url ?? ""));
    const { endpoint, region, accessKeyId, secretAccessKey } = engines().s3 ?? expect.unreachable();
    const client = new S3Client({
      endpoint,
      region,
      credentials: { accessKeyId, secretAccessKey },
      forcePathStyle: true,
    });
    await client.send(new CreateBucketCommand({ Bucket: namespace }));
    const reachable = async (url: string) => stack.use(await forwardFromPods(url, cluster.hostAddress)).url;
    const literals = {
      database: { "database-url": await reachable(database.url) },
      storage: { "access-key-id": accessKeyId, "secret-access-key": secretAccessKey },
    };
    for (const [name, content] of Object.entries(literals)) {
      const words = Object.entries(content).map(([key, value]) => `--from-literal=${key}=${value}`);
      await run("create", "secret", "generic", name, ...words);
    }
    await install("replicated", "airlock", {
      existingSecret: "airlock",
      replicas: "2",
      "database.existingSecret": "database",
      "objectStorage.bucket": namespace,
      "objectStorage.endpoint": await reachable(endpoint),
      "objectStorage.region": region,
      "objectStorage.forcePathStyle": "true",
      "objectStorage.existingSecret": "storage",
      "persistence.enabled": "false",
      "resources.requests.cpu": "50m",
    });

    const ready = "--output=jsonpath={.status.readyReplicas}";
    expect(await run("get", "statefulset", "replicated-airlock", ready)).toBe("2");
    const events = await run("get", "events", "--output=custom-columns=:.involvedObject.name,:.reason");
    expect(events).toMatch(/^replicated-airlock-migrations +Completed$/m);
    await helm("uninstall", "replicated", ...whereOf("airlock"), "--wait", "--timeout", "120s");
    await run("delete", "secret", ...Object.keys(literals));
  }, 240_000);

  /** Gives the step's image to the engine of the executor's pod. The cluster has no registry. */
  async function loadStepImage(): Promise<void> {
    const script = `
      const options = { socketPath: "/docker-socket/docker.sock", method: "POST", path: "/images/load" };
      const type = { "content-type": "application/x-tar" };
      process.stdin.pipe(require("node:http").request({ ...options, headers: type }, (answer) => answer.pipe(process.stdout)));
    `;
    const words = ["exec", "--stdin", "deploy/airlock-executor-dind-dind", "--container=executor"];
    const inPod = ["--kubeconfig", cluster.kubeconfigPath, "--namespace", dindNamespace, ...words];
    const loading = promisify(execFile)(cluster.program, ["kubectl", ...inPod, "--", "node", "--eval", script]);
    loading.child.stdin?.end(await dockerArchive(await busyboxImage(), stepImage));
    expect((await loading).stdout).toContain(stepImage);
  }

  /** Names of everything that a release can leave in its namespace. */
  async function objects(): Promise<readonly string[]> {
    const kinds =
      "pods,services,secrets,configmaps,serviceaccounts,persistentvolumeclaims,networkpolicies,roles,rolebindings";
    const workloads = "jobs,deployments,replicasets,statefulsets,poddisruptionbudgets";
    const found = await Promise.all([run, inDind].map((ask) => ask("get", `${kinds},${workloads}`, "--output=name")));
    return found.flatMap((names) => names.trim().split("\n")).sort();
  }
});

/** Kills the Docker daemon of a pod from the node. */
function killEngine(podUid: string): void {
  const isEngine = (pid: string) => {
    try {
      const [program] = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
      return program === "dockerd" && readFileSync(`/proc/${pid}/cgroup`, "utf8").includes(`pod${podUid}/`);
    } catch {
      // Ended meanwhile.
      return false;
    }
  };
  const [pid = expect.unreachable()] = readdirSync("/proc").filter((name) => /^\d+$/.test(name) && isEngine(name));
  process.kill(Number(pid), "SIGKILL");
}

/** Makes a server of this machine's loopback reachable for pods, as long as the result is not disposed of. */
async function forwardFromPods(url: string, hostAddress: string): Promise<{ readonly url: string } & AsyncDisposable> {
  const target = new URL(url);
  const open = new Set<Socket>();
  const server = createServer((socket) => {
    const upstream = connect(Number(target.port), target.hostname);
    for (const [end, other] of [
      [socket, upstream],
      [upstream, socket],
    ] as const) {
      open.add(end);
      // A broken connection ends its other half. Both ends notice by themselves.
      end.on("error", () => other.destroy());
      end.on("close", () => {
        open.delete(end);
        other.destroy();
      });
      end.pipe(other);
    }
  });
  await new Promise<void>((resolve) => server.listen(0, hostAddress, resolve));
  const own = new URL(url);
  own.hostname = hostAddress;
  own.port = String((server.address() as AddressInfo).port);
  return {
    url: own.href.replace(/\/$/, ""),
    [Symbol.asyncDispose]: async () => {
      for (const socket of open) socket.destroy();
      await new Promise<void>((resolve) => void server.close(() => resolve()));
    },
  };
}
