import { readFile, writeFile } from "node:fs/promises";
import { createServer, type IncomingMessage } from "node:http";
import { request as requestHttps } from "node:https";
import path from "node:path";
import type { Duplex } from "node:stream";
import { buildPodAgent } from "@airlock/runtime/kubernetes";
import {
  buildCluster,
  buildImage,
  busyboxImage,
  createDatabase,
  importImage,
  kubectl,
  startCluster,
  startEngines,
  temporaryDirectory,
} from "@airlock/test-kit";
import { type BenchExecutor, startExecutor } from "./bench-executor.ts";
import { type BenchInstance, startInstance } from "./bench-instance.ts";

const { signal } = new AbortController();
const agentImage = "localhost/bench-agent:1";
export const image = "localhost/bench-shell:1";
const namespace = "bench";

export interface KubernetesWorld extends AsyncDisposable {
  readonly instance: BenchInstance;
  /** Runs `kubectl` and returns its output. */
  kubectl(...words: readonly string[]): Promise<string>;
  /** Starts an executor that reaches the API server through {@link requests}. */
  startExecutor(settings: Readonly<Record<string, string>>): Promise<BenchExecutor>;
  /** Requests that the executor has sent to the API server, by method and kind, such as `POST pods/exec`. */
  readonly requests: ReadonlyMap<string, number>;
}

/** A real cluster, an instance, and an executor whose requests are counted. */
export async function openKubernetesWorld(): Promise<KubernetesWorld> {
  await using cleanup = new AsyncDisposableStack();
  const { engines } = cleanup.use(await startEngines(["postgres"]));
  if (!engines.postgres) throw new Error(`this row needs PostgreSQL: ${engines.missing.postgres}`);
  const { path: directory } = cleanup.use(await temporaryDirectory("bench-"));
  const cluster = cleanup.use(await startCluster(await buildCluster({ signal })));
  await importImage(cluster, await busyboxImage(), image);
  const agent = path.join(directory, "agent");
  await buildPodAgent({ output: agent, signal });
  const layer = [{ name: "agent", mode: 0o755, content: await readFile(agent) }];
  await importImage(cluster, await buildImage([layer]), agentImage);
  await kubectl(cluster, "create", "namespace", namespace);
  const config = JSON.parse(await kubectl(cluster, "config", "view", "--raw", "-o", "json"));
  const requests = new Map<string, number>();
  const server = cleanup.use(await countingServer(config, requests));
  const kubeconfig = path.join(directory, "kubeconfig");
  const clusters = [
    { name: config.clusters[0].name, cluster: { server: server.url, "insecure-skip-tls-verify": true } },
  ];
  const users = config.users.map(({ name }: { name: string }) => ({ name, user: {} }));
  await writeFile(kubeconfig, JSON.stringify({ ...config, clusters, users }));
  const database = cleanup.use(await createDatabase(engines.postgres.url));
  const instance = cleanup.use(await startInstance(database.url));
  const owned = cleanup.move();
  return {
    instance,
    requests,
    kubectl: (...words) => kubectl(cluster, "--namespace", namespace, ...words),
    startExecutor: (settings) =>
      startExecutor(instance, {
        dataDir: path.join(directory, "executor"),
        label: "kubernetes",
        settings: {
          EXECUTOR_RUNTIME: "kubernetes",
          EXECUTOR_UNENFORCED_LIMITS: "none",
          EXECUTOR_KUBERNETES_CONFIG_PATH: kubeconfig,
          EXECUTOR_KUBERNETES_NAMESPACE: namespace,
          EXECUTOR_KUBERNETES_AGENT_IMAGE: agentImage,
          EXECUTOR_KUBERNETES_RESOURCE_REQUEST_CPU: "0",
          EXECUTOR_KUBERNETES_RESOURCE_REQUEST_MEMORY: "0",
          KUBERNETES_IMAGE_PULL_POLICY: "IfNotPresent",
          EXECUTOR_JOB_MEMORY: "128Mi",
          ...settings,
        },
      }),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** Passes requests to the API server, with the administrator's certificate, and counts them. */
async function countingServer(
  config: {
    readonly clusters: readonly [{ readonly cluster: { readonly server: string } }];
    readonly users: readonly [{ readonly user: Readonly<Record<string, string>> }];
  },
  requests: Map<string, number>,
) {
  const { hostname, port } = new URL(config.clusters[0].cluster.server);
  const { user } = config.users[0];
  const decode = (text: string | undefined) => Buffer.from(text ?? "", "base64");
  const credentials = {
    cert: decode(user["client-certificate-data"]),
    key: decode(user["client-key-data"]),
    rejectUnauthorized: false,
  };
  const forward = ({ method = "GET", url: target = "/", headers }: IncomingMessage) => {
    const kind = `${method} ${kindOf(target)}`;
    requests.set(kind, (requests.get(kind) ?? 0) + 1);
    return requestHttps({ ...credentials, hostname, port, method, path: target, headers });
  };
  const server = createServer((incoming, outgoing) => {
    const upstream = forward(incoming);
    upstream.on("response", (answer) => {
      outgoing.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(outgoing);
    });
    upstream.on("error", () => outgoing.destroy());
    outgoing.on("close", () => upstream.destroy());
    incoming.pipe(upstream);
  });
  server.on("upgrade", (incoming: IncomingMessage, client: Duplex) => {
    const upstream = forward(incoming);
    upstream.on("upgrade", ({ statusCode, statusMessage, rawHeaders }, socket) => {
      const headers = rawHeaders.map((text, index) => (index % 2 === 0 ? `${text}: ` : `${text}\r\n`));
      client.write(`HTTP/1.1 ${statusCode} ${statusMessage}\r\n${headers.join("")}\r\n`);
      socket.pipe(client).pipe(socket);
      for (const [one, other] of [[socket, client] as const, [client, socket] as const])
        one.on("error", () => other.destroy()).on("close", () => other.destroy());
    });
    upstream.on("response", ({ statusCode }) => client.end(`HTTP/1.1 ${statusCode} Refused\r\n\r\n`));
    upstream.on("error", () => client.destroy());
    upstream.end();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  return {
    url: `http://127.0.0.1:${typeof address === "object" && address ? address.port : 0}`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** The kind of object that a path names, such as `pods/exec`. */
function kindOf(target: string): string {
  const { pathname, searchParams } = new URL(target, "http://localhost");
  const [, kind = pathname, , subresource] =
    /\/namespaces\/[^/]+\/([^/]+)(\/[^/]+)?(?:\/([^/]+))?$/.exec(pathname) ?? [];
  const what = subresource === undefined ? kind : `${kind}/${subresource}`;
  return searchParams.get("watch") === "true" ? `${what} (watch)` : what;
}
