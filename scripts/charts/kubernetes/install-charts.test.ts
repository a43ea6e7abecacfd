import { randomBytes } from "node:crypto";
import { createReadStream, readFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import path from "node:path";
import {
  busyboxImage,
  type ClusterAccess,
  clusterHookMs,
  describeWithEngines,
  helm,
  importArchive,
  importImage,
  kubectl,
  kubernetesCluster,
  temporaryDirectory,
} from "@airlock/test-kit";
import { beforeAll, expect, it } from "vitest";
import { parse } from "yaml";
import { buildImages, buildPrograms } from "../../images/build-images.ts";
import { root } from "../../programs/run.ts";
import { chartDirectory, everything, renderChart } from "../render-chart.ts";

const token = randomBytes(24).toString("hex");
const namespace = `charts-${randomBytes(4).toString("hex")}`;
const jobs = `${namespace}-jobs`;
const stepImage = "localhost/charts-step:1";
/** Kinds of operators that the cluster does not have. */
const customKinds = ["ServiceMonitor", "ScaledObject"];

describeWithEngines(["kubernetes"], "charts in a cluster", () => {
  const cleanup = new AsyncDisposableStack();
  let cluster: ClusterAccess;
  let directory: string;

  beforeAll(async () => {
    cluster = await kubernetesCluster();
    directory = cleanup.use(await temporaryDirectory("charts-")).path;
    await buildPrograms(path.join(directory, "programs"));
    const output = path.join(directory, "images");
    await buildImages(["--programs", path.join(directory, "programs"), "--output", output]);
    for (const name of ["instance", "executor", "helper"]) {
      await importArchive(cluster, createReadStream(path.join(output, `airlock-${name}.tar`)));
    }
    await importImage(cluster, await busyboxImage(), stepImage);
    await kubectl(cluster, "create", "namespace", namespace);
    cleanup.defer(async () => void (await kubectl(cluster, "delete", "namespace", namespace, "--wait=false")));
    await kubectl(cluster, "label", "namespace", namespace, "pod-security.kubernetes.io/enforce=restricted");
    return () => cleanup.disposeAsync();
  }, clusterHookMs);

  const run = (...words: readonly string[]) => kubectl(cluster, "--namespace", namespace, ...words);
  const install = async (
    release: string,
    chart: "airlock" | "airlock-executor",
    values: Readonly<Record<string, string>>,
  ): Promise<void> => {
    const settings = Object.entries(values).flatMap(([name, value]) => ["--set", `${name}=${value}`]);
    const where = ["--kubeconfig", cluster.kubeconfigPath, "--namespace", namespace];
    await helm("install", release, chartDirectory(chart), ...where, "--wait", "--timeout", "60s", ...settings).catch(
      async (cause: unknown) => {
        // Helm says only that pods are not ready.
        const logs = await run("logs", "--prefix", "--tail=20", "--selector", `app.kubernetes.io/instance=${release}`);
        const events = await run("get", "events", "--output=custom-columns=:.involvedObject.name,:.message");
        throw new Error(`${release} did not start:\n${logs}\n${events}`, { cause });
      },
    );
  };

  it("are accepted by the API server with every part turned on", async () => {
    for (const chart of ["airlock", "airlock-executor"] as const) {
      const manifests = (await renderChart(chart, everything[chart]))
        .filter(({ kind }) => !customKinds.includes(kind) && kind !== "Namespace")
        .map((manifest) => ({ ...manifest, metadata: { ...manifest.metadata, namespace } }));
      const file = path.join(directory, `${chart}.json`);
      await writeFile(file, JSON.stringify({ apiVersion: "v1", kind: "List", items: manifests }));
      const words = ["apply", "--server-side", "--dry-run=server", "--validate=strict", "-f", file];
      expect((await run(...words)).trim().split("\n")).toHaveLength(manifests.length);
    }
  }, 60_000);

  it("become bases that kubectl applies and deletes", async () => {
    for (const base of ["instance", "executor"]) {
      const directory = path.join(root, "deploy/kustomize", base);
      const applied = await kubectl(cluster, "apply", "--server-side", "--validate=strict", "-k", directory);
      const deleted = await kubectl(cluster, "delete", "-k", directory, "--wait=false");
      expect(applied).toContain("serviceaccount/");
      expect(deleted.trim().split("\n")).toHaveLength(applied.trim().split("\n").length);
    }
  }, 60_000);

  it("run a job, lose none in an upgrade, and leave nothing after they are uninstalled", async () => {
    const literals = { token, "executor-token": token, "secret-key": randomBytes(32).toString("hex") };
    const words = Object.entries(literals).map(([key, value]) => `--from-literal=${key}=${value}`);
    await run("create", "secret", "generic", "airlock", ...words);
    const where = ["--kubeconfig", cluster.kubeconfigPath, "--namespace", namespace];
    const before = await objects();
    await install("airlock", "airlock", {
      existingSecret: "airlock",
      "persistence.enabled": "false",
      "service.type": "NodePort",
      "resources.requests.cpu": "50m",
    });
    // The cluster of tests has no DNS.
    const address = await run("get", "service", "airlock", "--output=jsonpath={.spec.clusterIP}");
    await install("airlock-executor", "airlock-executor", {
      existingSecret: "airlock",
      frontendUrl: `http://${address}`,
      "jobs.namespace": jobs,
      "jobs.imagePullPolicy": "Never",
      "env.EXECUTOR_KUBERNETES_RESOURCE_REQUEST_CPU": "50m",
      "env.EXECUTOR_QUEUE_POLL_INTERVAL": "200ms",
      "resources.requests.cpu": "50m",
      drainTimeoutSeconds: "20",
    });
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
    const submit = async (script: string): Promise<number> => {
      const step = { key: "main", image: stepImage, run: script };
      return JSON.parse(await api("/jobs", { steps: [step], egress: "none", resources })).id;
    };
    const stateOf = async (id: number) => JSON.parse(await api(`/jobs/${id}`)).state as string;
    const waitFor = async (id: number, states: RegExp) =>
      await expect.poll(() => stateOf(id), { timeout: 90_000, interval: 500 }).toMatch(states);

    const first = await submit("echo from-the-chart; id -u");
    await waitFor(first, /completed|failed|errored/);
    expect(await api(`/jobs/${first}/logs`)).toContain("from-the-chart\n1000\n");

    const second = await submit("echo begun; sleep 8; echo ended");
    await waitFor(second, /processing/);
    const upgrade = ["--reuse-values", "--set", "podAnnotations.upgraded=yes", "--wait", "--timeout", "60s"];
    await helm("upgrade", "airlock-executor", chartDirectory("airlock-executor"), ...where, ...upgrade);
    await waitFor(second, /completed|failed|errored/);
    // The old pod finished the job while it drained: no other one began it again.
    expect((await api(`/jobs/${second}/logs`)).match(/^(?:begun|ended)$/gm)).toEqual(["begun", "ended"]);
    const shown = JSON.parse(await api(`/jobs/${second}`));
    expect(shown).toMatchObject({ state: "completed", attempts: [expect.anything()] });

    for (const release of ["airlock-executor", "airlock"]) {
      await helm("uninstall", release, ...where, "--wait", "--timeout", "120s");
    }
    await run("wait", "--for=delete", `namespace/${jobs}`, "--timeout=60s");
    await expect.poll(objects, { timeout: 60_000, interval: 500 }).toEqual(before);
  }, 300_000);

  /** Names of everything that a release can leave in its namespace. */
  async function objects(): Promise<readonly string[]> {
    const kinds =
      "pods,services,secrets,configmaps,serviceaccounts,persistentvolumeclaims,networkpolicies,roles,rolebindings";
    const workloads = "deployments,replicasets,statefulsets,poddisruptionbudgets";
    return (await run("get", `${kinds},${workloads}`, "--output=name")).trim().split("\n").sort();
  }
});
