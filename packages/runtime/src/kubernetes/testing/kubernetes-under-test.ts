import { randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { join } from "node:path";
import {
  buildImage,
  busyboxImage,
  type ClusterAccess,
  type FixtureImage,
  importImage,
  kubectl,
  kubernetesCluster,
  type RuntimeUnderTest,
  shellLessImage,
  temporaryDirectory,
  trustRegistry,
} from "@airlock/test-kit";
import { KubeConfig } from "@kubernetes/client-node";
import type { Runtime } from "../../contract/runtime.ts";
import type { ImagePolicy } from "../../images/policy/image-policy.ts";
import { buildPodAgent } from "../build-pod-agent.ts";
import { createKubernetesRuntime } from "../kubernetes-runtime.ts";
import type { PodEgressOptions } from "../pod-networks.ts";
import type { PodOptions } from "../pod-options.ts";

const buildMs = 120_000;

export interface RuntimeChanges {
  /** Address of the API server, if it is not the cluster's own. */
  readonly server?: string;
  /** Token of a service account, instead of the administrator's credentials. */
  readonly token?: string;
  readonly pods?: Partial<PodOptions>;
  readonly startingMs?: number;
  readonly lostNodeMs?: number;
  readonly schedulingMs?: number;
  readonly keepEndedMs?: number;
  readonly seccomp?: boolean;
  readonly images?: ImagePolicy;
  readonly egress?: PodEgressOptions;
}

export interface TestNamespace extends AsyncDisposable {
  readonly cluster: ClusterAccess;
  readonly name: string;
  /** Part of the names of this namespace's images. */
  readonly run: string;
  /** Adds an image to the node and returns its reference. */
  load(image: FixtureImage, name: string): Promise<string>;
  createRuntime(changes?: RuntimeChanges): Runtime;
}

/** A namespace of the run's cluster that enforces a Pod Security Standard, and a runtime that fits it. */
export async function openTestNamespace(
  standard: "restricted" | "baseline",
  user: PodOptions["user"],
): Promise<TestNamespace> {
  await using cleanup = new AsyncDisposableStack();
  const directory = cleanup.use(await temporaryDirectory("pods-"));
  const cluster = await kubernetesCluster();
  const run = randomBytes(4).toString("hex");
  const name = `airlock-test-${run}`;
  await kubectl(cluster, "create", "namespace", name);
  cleanup.defer(async () => void (await kubectl(cluster, "delete", "namespace", name, "--wait=false")));
  await kubectl(cluster, "label", "namespace", name, `pod-security.kubernetes.io/enforce=${standard}`);
  const load = async (image: FixtureImage, imageName: string) => {
    const reference = `localhost/${imageName}-${run}:1`;
    await importImage(cluster, image, reference);
    return reference;
  };
  const program = join(directory.path, "agent");
  await buildPodAgent({ output: program, signal: AbortSignal.timeout(buildMs) });
  const content = await readFile(program);
  const agentImage = await load(await buildImage([[{ name: "agent", mode: 0o755, content }]]), "agent");
  const owned = cleanup.move();
  return {
    cluster,
    name,
    run,
    load,
    createRuntime: ({ server, token, pods = {}, ...others } = {}) => {
      const config = new KubeConfig();
      config.loadFromFile(cluster.kubeconfigPath);
      if (server !== undefined) config.clusters = config.clusters.map((each) => ({ ...each, server }));
      if (token !== undefined) config.users = config.users.map(({ name: user }) => ({ name: user, token }));
      // The node has less than the suite's sandboxes ask for together.
      const requests = { cpus: 0, memoryBytes: 0 };
      return createKubernetesRuntime({
        config,
        namespace: name,
        pods: { agentImage, pullPolicy: "IfNotPresent", user, abandonSeconds: 300, requests, ...pods },
        unenforcedLimits: "none",
        ...others,
      });
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** The Kubernetes runtime on the run's cluster, with the images of the contract suite. */
export async function kubernetesUnderTest(): Promise<RuntimeUnderTest> {
  await using cleanup = new AsyncDisposableStack();
  const namespace = cleanup.use(await openTestNamespace("baseline", { kind: "image" }));
  const { cluster, load, run } = namespace;
  const registry = createServer((_, response) => response.writeHead(404).end());
  await new Promise<void>((resolve) => registry.listen(0, cluster.hostAddress, resolve));
  cleanup.defer(() => new Promise((resolve) => registry.close(() => resolve())));
  const address = registry.address();
  const registryAddress = `${cluster.hostAddress}:${typeof address === "object" && address ? address.port : 0}`;
  await trustRegistry(cluster, registryAddress);
  const runtime = namespace.createRuntime();
  cleanup.defer(() => runtime.close());
  const images = {
    shell: await load(await busyboxImage(), "shell"),
    noShell: await load(await shellLessImage(), "shell-less"),
    unprivileged: await load(await busyboxImage({ User: "1000:1000" }), "unprivileged"),
    unknown: `${registryAddress}/fixtures/unknown:1`,
  };
  const owned = cleanup.move();
  return { runtime, owner: `contract-${run}`, images, provide: load, dispose: () => owned.disposeAsync() };
}
