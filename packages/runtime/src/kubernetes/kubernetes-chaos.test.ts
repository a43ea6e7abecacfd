import { readdir, readFile, writeFile } from "node:fs/promises";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { type RequestOptions, request } from "node:https";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import {
  busyboxImage,
  clusterHookMs,
  describeWithEngines,
  kubectl,
  openWorkplace,
  temporaryDirectory,
  trustRegistry,
  type Workplace,
} from "@airlock/test-kit";
import { CoreV1Api, KubeConfig } from "@kubernetes/client-node";
import { afterAll, beforeAll, expect, it } from "vitest";
import type { Runtime } from "../contract/runtime.ts";
import { labelOf, ownerLabel, podName } from "./pod-names.ts";
import { PodWatch } from "./pod-watch.ts";
import { openTestNamespace, type TestNamespace } from "./testing/kubernetes-under-test.ts";

const uid = 1_234_567;
const lostNodeMs = 1_500;
const never = new AbortController().signal;

describeWithEngines(["kubernetes"], "a pod in a cluster with faults", () => {
  const stack = new AsyncDisposableStack();
  let namespace: TestNamespace;
  let runtime: Runtime;
  let image: string;
  let directory: string;
  beforeAll(async () => {
    directory = stack.use(await temporaryDirectory()).path;
    namespace = stack.use(await openTestNamespace("restricted", { kind: "restricted", uid, gid: uid }));
    runtime = open();
    image = await namespace.load(await busyboxImage(), "shell");
  }, clusterHookMs);
  afterAll(() => stack.disposeAsync(), 60_000);

  function open(changes: Parameters<TestNamespace["createRuntime"]>[0] = {}): Runtime {
    const opened = namespace.createRuntime({ lostNodeMs, ...changes });
    stack.defer(() => opened.close());
    return opened;
  }

  async function inNamespace(...words: readonly string[]): Promise<string> {
    return await kubectl(namespace.cluster, "--namespace", namespace.name, ...words);
  }

  async function create(name: string, manifest: object): Promise<void> {
    const path = join(directory, `${name}.json`);
    await writeFile(path, JSON.stringify(manifest));
    await inNamespace("create", "-f", path);
  }

  /** A job whose step runs until something happens to its pod. */
  async function runningJob(owner: string, from = runtime) {
    const place = await openWorkplace(from, { owner, image });
    const started = Promise.withResolvers<void>();
    const ended = place.start("echo started; sleep 600", { output: () => started.resolve() });
    ended.catch(() => {});
    await Promise.race([started.promise, ended]);
    return { place, ended, pod: podName({ owner, id: place.id }) };
  }

  async function gone(place: Workplace, pod: string): Promise<void> {
    await place[Symbol.asyncDispose]();
    expect(await inNamespace("get", "pods", "--field-selector", `metadata.name=${pod}`, "-o", "name")).toBe("");
  }

  it.concurrent("that is evicted, preempted or deleted by hand is told apart from a fault of the job", async () => {
    await Promise.all(
      [
        ["victim", -1_000],
        ["winner", -500],
      ].map(async ([name, value]) => {
        const metadata = { name: `${name}-${namespace.run}` };
        await create(`${name}`, { apiVersion: "scheduling.k8s.io/v1", kind: "PriorityClass", metadata, value });
        stack.defer(async () => void (await inNamespace("delete", "priorityclass", metadata.name)));
      }),
    );
    const ofLowPriority = open({ pods: { placement: { priorityClass: `victim-${namespace.run}` } } });
    const [evicted, preempted, deleted] = await Promise.all([
      runningJob("evicted"),
      runningJob("preempted", ofLowPriority),
      runningJob("deleted"),
    ]);

    // What `kubectl drain` sends for each pod of a node.
    const eviction = join(directory, "eviction.json");
    const metadata = { name: evicted.pod, namespace: namespace.name };
    await writeFile(eviction, JSON.stringify({ apiVersion: "policy/v1", kind: "Eviction", metadata }));
    await inNamespace(
      "create",
      "--raw",
      `/api/v1/namespaces/${namespace.name}/pods/${evicted.pod}/eviction`,
      "-f",
      eviction,
    );
    // Only this pod has a lower priority than the one that can't be beside it.
    const labelSelector = { matchLabels: { [ownerLabel]: labelOf("preempted") } };
    await create("winner-pod", {
      ...{ apiVersion: "v1", kind: "Pod", metadata: { name: "winner" } },
      spec: {
        priorityClassName: `winner-${namespace.run}`,
        affinity: {
          podAntiAffinity: {
            requiredDuringSchedulingIgnoredDuringExecution: [{ topologyKey: "kubernetes.io/hostname", labelSelector }],
          },
        },
        securityContext: { runAsNonRoot: true, runAsUser: uid, seccompProfile: { type: "RuntimeDefault" } },
        containers: [
          {
            ...{ name: "main", image, imagePullPolicy: "Never", command: ["/bin/true"] },
            securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ["ALL"] } },
          },
        ],
      },
    });
    await inNamespace("delete", "pod", deleted.pod, "--wait=false");

    await expect(evicted.ended).rejects.toMatchObject({
      reason: "runtime",
      message: expect.stringContaining("the cluster evicted the job's pod (EvictionByEvictionAPI)"),
    });
    await expect(preempted.ended).rejects.toMatchObject({
      reason: "runtime",
      message: expect.stringContaining("the cluster evicted the job's pod (PreemptionByScheduler)"),
    });
    await expect(deleted.ended).rejects.toMatchObject({
      reason: "runtime",
      message: "the job's pod was deleted",
    });
    await Promise.all([evicted, preempted, deleted].map(({ place, pod }) => gone(place, pod)));
  });

  it.concurrent("goes on while its node counts as lost, until its agent is silent, too", async () => {
    const { place, ended, pod } = await runningJob("lost");
    // Stands for the node controller. The kubelet, which lives, takes it back after a while.
    const markLost = () =>
      inNamespace(
        ...["patch", "pod", pod, "--subresource=status", "--type=strategic"],
        ...["-p", JSON.stringify({ status: { conditions: [{ type: "Ready", status: "False" }] } })],
      );
    await markLost();
    await delay(2 * lostNodeMs);
    expect(await Promise.race([ended, "running"])).toBe("running");

    const agents = await processesOf(["/agent", "serve", "300"], pod);
    expect(agents.length).toBeGreaterThan(0);
    for (const id of agents) process.kill(id, "SIGSTOP");
    const failure = ended.then(
      () => null,
      (error: unknown) => error,
    );
    const marking = (async () => {
      while ((await Promise.race([failure, delay(500, "running")])) === "running") await markLost();
    })();

    expect(await failure).toMatchObject({ reason: "runtime", message: expect.stringMatching(/^the node \S+ is lost/) });
    await marking;
    const startedAt = performance.now();
    await gone(place, pod);
    expect(performance.now() - startedAt).toBeLessThan(15_000);
  });

  it.concurrent("is given up in time if its agent does not start, with the setting in the message", async () => {
    // The node waits for this registry.
    const server = createServer(() => {});
    const { hostAddress } = namespace.cluster;
    await new Promise<void>((resolve) => server.listen(0, hostAddress, resolve));
    stack.defer(() => new Promise<void>((resolve) => server.close(() => resolve()).closeAllConnections()));
    const address = server.address();
    const registry = `${hostAddress}:${typeof address === "object" && address ? address.port : 0}`;
    await trustRegistry(namespace.cluster, registry);
    const slow = open({ startingMs: 3_000, pods: { agentImage: `${registry}/agent:1` } });

    await expect(openWorkplace(slow, { owner: "slow", image })).rejects.toMatchObject({
      reason: "runtime",
      message: expect.stringMatching(/^the agent of the job's pod did not start within 3\.0s: /),
      hint: expect.stringContaining("EXECUTOR_KUBERNETES_START_TIMEOUT"),
    });
  });

  it.concurrent("whose name is taken leaves the other pod alone", async () => {
    const place = { owner: "taken", id: "place-taken" };
    const name = podName(place);
    const spec = { containers: [{ name: "main", image }], nodeSelector: { nowhere: "true" } };
    const security = { runAsNonRoot: true, runAsUser: uid, seccompProfile: { type: "RuntimeDefault" } };
    const container = { allowPrivilegeEscalation: false, capabilities: { drop: ["ALL"] } };
    await create("taken", {
      ...{ apiVersion: "v1", kind: "Pod", metadata: { name } },
      spec: { ...spec, securityContext: security, containers: [{ ...spec.containers[0], securityContext: container }] },
    });

    await expect(openWorkplace(runtime, { ...place, image })).rejects.toMatchObject({
      reason: "runtime",
      message: expect.stringContaining(`"${name}" already exists`),
    });
    expect(await inNamespace("get", "pod", name, "-o", "name")).toBe(`pod/${name}\n`);
  });

  it.concurrent("can't be made without rights, and the job learns which one is missing at once", async () => {
    await inNamespace("create", "serviceaccount", "powerless");
    const token = (await inNamespace("create", "token", "powerless")).trim();
    const powerless = open({ token });
    const refused = () => openWorkplace(powerless, { owner: "powerless", image });

    await expect(refused()).rejects.toMatchObject({
      reason: "runtime",
      message: expect.stringMatching(/cannot create resource "networkpolicies"/),
      hint: expect.stringContaining("executor validate"),
    });
    const allowed = ["--verb=create,delete,list,watch", "--resource=pods,networkpolicies.networking.k8s.io"];
    await inNamespace("create", "role", "some", ...allowed);
    const account = `--serviceaccount=${namespace.name}:powerless`;
    await inNamespace("create", "rolebinding", "some", "--role=some", account);

    await expect(refused()).rejects.toMatchObject({
      reason: "runtime",
      message: expect.stringContaining("may not open a connection to the job's pod"),
      hint: expect.stringContaining("executor validate"),
    });
  });

  it.concurrent("is watched without a gap after the API server has forgotten where the watch was (410)", async () => {
    const config = new KubeConfig();
    config.loadFromFile(namespace.cluster.kubeconfigPath);
    await using server = await forgetfulServer(config);
    const label = { "example.com/watched": "yes" };
    const direct = config.makeApiClient(CoreV1Api);
    const through = new KubeConfig();
    through.loadFromClusterAndUser({ name: "forgetful", server: server.url, skipTLSVerify: true }, { name: "nobody" });
    using watch = new PodWatch({
      config: through,
      api: through.makeApiClient(CoreV1Api),
      namespace: namespace.name,
      labelSelector: "example.com/watched=yes",
    });
    const make = async (name: string) => {
      const securityContext = { allowPrivilegeEscalation: false, capabilities: { drop: ["ALL"] } };
      const spec = {
        nodeSelector: { nowhere: "true" },
        securityContext: { runAsNonRoot: true, runAsUser: uid, seccompProfile: { type: "RuntimeDefault" } },
        containers: [{ name: "main", image, securityContext }],
      };
      const body = { metadata: { name, labels: label }, spec };
      await direct.createNamespacedPod({ namespace: namespace.name, body });
    };
    const remove = (name: string) =>
      direct.deleteNamespacedPod({ name, namespace: namespace.name, gracePeriodSeconds: 0 });
    const seen = (name: string, isThere: boolean) =>
      watch.until(name, (pod) => ((pod !== null) === isThere ? true : undefined), AbortSignal.timeout(20_000));
    await make("first");
    await seen("first", true);

    // As an event of the watch, and as the answer to the request for it.
    for (const [kind, next] of [
      ["event", "second"],
      ["answer", "third"],
    ] as const) {
      const answered = server.forget(kind);
      await remove("first");
      await make(next);
      await Promise.all([seen("first", false), seen(next, true)]);
      await answered;
      await remove(next);
      await make("first");
      await seen("first", true);
    }
    await remove("first");
    await seen("first", false);
  });

  it.concurrent("is out of reach for good once the API server is away for longer than the limit", async () => {
    const unreachable = open({ server: "https://127.0.0.1:1", pods: { abandonSeconds: 2 } });

    await expect(openWorkplace(unreachable, { owner: "away", image, signal: never })).rejects.toMatchObject({
      reason: "runtime",
    });
  });
});

/** Ids of this machine's processes with this command line, in the cgroup of a pod. */
async function processesOf(words: readonly string[], pod: string): Promise<number[]> {
  const ids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name));
  const found: number[] = [];
  for (const id of ids) {
    const [commandLine, hostName] = await Promise.all([
      readFile(`/proc/${id}/cmdline`, "utf8").catch(() => ""),
      readFile(`/proc/${id}/root/etc/hostname`, "utf8").catch(() => ""),
    ]);
    if (commandLine === `${words.join("\0")}\0` && hostName.trim() === pod.slice(0, 63)) found.push(Number(id));
  }
  return found;
}

const expired = { kind: "Status", code: 410, reason: "Expired", message: "too old resource version" };

/** Passes requests to the API server, and answers watches like one that has compacted its history. */
async function forgetfulServer(config: KubeConfig) {
  const { hostname, port } = new URL(config.getCurrentCluster()?.server ?? "");
  const options: RequestOptions = {};
  await config.applyToHTTPSOptions(options);
  const watches = new Set<ServerResponse>();
  let forgotten: { readonly kind: "event" | "answer"; readonly answered: () => void } | null = null;
  const server = createServer((incoming: IncomingMessage, outgoing) => {
    const { url: path = "/" } = incoming;
    if (path.includes("watch=true")) {
      watches.add(outgoing);
      outgoing.on("close", () => watches.delete(outgoing));
      if (forgotten !== null) {
        const { kind, answered } = forgotten;
        forgotten = null;
        outgoing.writeHead(kind === "event" ? 200 : 410, { "content-type": "application/json" });
        outgoing.end(`${JSON.stringify(kind === "event" ? { type: "ERROR", object: expired } : expired)}\n`);
        answered();
        return;
      }
    }
    const upstream = request({ ...options, hostname, port, path, method: incoming.method ?? "GET" }, (answer) => {
      outgoing.writeHead(answer.statusCode ?? 502, { "content-type": answer.headers["content-type"] ?? "" });
      answer.pipe(outgoing);
    });
    outgoing.on("close", () => upstream.destroy());
    upstream.on("error", () => outgoing.destroy());
    incoming.pipe(upstream);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  return {
    url: `http://127.0.0.1:${typeof address === "object" && address ? address.port : 0}`,
    /** Ends the watches. Resolves when the next one was told that its version has expired. */
    forget(kind: "event" | "answer"): Promise<void> {
      const { promise, resolve } = Promise.withResolvers<void>();
      forgotten = { kind, answered: resolve };
      for (const watch of watches) watch.destroy();
      return promise;
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
