import { randomInt } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { EgressPolicy } from "@airlock/job";
import {
  busyboxImage,
  clusterHookMs,
  describeWithEngines,
  kubectl,
  openWorkplace,
  temporaryDirectory,
} from "@airlock/test-kit";
import { afterAll, beforeAll, expect, it } from "vitest";
import type { EgressDenial } from "../contract/index.ts";
import type { Runtime } from "../contract/runtime.ts";
import type { Agent } from "../egress/testing/agent.ts";
import { allow } from "../egress/testing/egress-world.ts";
import { labelOf, ownerLabel } from "./pod-names.ts";
import {
  type ClusterInternet,
  internetPort,
  openClusterInternet,
  serveZones,
  startAgentInPod,
} from "./testing/cluster-internet.ts";
import { openTestNamespace, type TestNamespace } from "./testing/kubernetes-under-test.ts";

const uid = 1_234_567;

describeWithEngines(["kubernetes"], "the network of a job in Kubernetes", () => {
  const stack = new AsyncDisposableStack();
  let namespace: TestNamespace;
  let world: ClusterInternet;
  let runtime: Runtime;
  let image: string;
  beforeAll(async () => {
    namespace = stack.use(await openTestNamespace("restricted", { kind: "restricted", uid, gid: uid }));
    world = stack.use(await openClusterInternet(namespace.cluster));
    const { address, otherAddress } = world;
    const a = (data: string, ttl = 300) => ({ type: "A", data, ttl }) as const;
    await serveZones(world, {
      "public.example.com A": [[a(address)]],
      "public.example.com TXT": [[{ type: "TXT", data: "hello", ttl: 300 }]],
      "rebinding.example.com A": [[a(otherAddress, 0)], [a("10.96.0.1", 0)]],
      "inside.example.com A": [[a("10.96.0.1"), a("169.254.169.254")]],
      "late.example.org A": [[a(otherAddress)]],
    });
    runtime = namespace.createRuntime({ egress: { upstreams: [world.upstream] } });
    stack.defer(() => runtime.close());
    image = await namespace.load(await busyboxImage(), "shell");
    await startTarget();
  }, clusterHookMs);
  afterAll(() => stack.disposeAsync());

  /** The shell starts its child before the child becomes the program. */
  const script = (marker: string) =>
    `sleep ${marker} & until grep -q ${marker} /proc/$!/cmdline; do :; done; echo started; wait`;

  /** A job whose step runs until the job is disposed, and a process in the network of its pod. */
  async function open(owner: string, egress: EgressPolicy) {
    await using cleanup = new AsyncDisposableStack();
    const denials: EgressDenial[] = [];
    const place = cleanup.use(
      await openWorkplace(runtime, { owner, image, egress, onEgressDenied: (denial) => void denials.push(denial) }),
    );
    const marker = String(randomInt(1e9, 2e9));
    const started = Promise.withResolvers<void>();
    const running = place.start(script(marker), { output: () => started.resolve() });
    // Ends with its sandbox.
    running.catch(() => {});
    await Promise.race([started.promise, running]);
    const agent = cleanup.use(await startAgentInPod(marker));
    const owned = cleanup.move();
    return { agent, denials, place, [Symbol.asyncDispose]: () => owned.disposeAsync() };
  }

  const tcp = (agent: Agent, host: string, port = internetPort) => agent.try({ op: "tcp", host, port });
  const udp = (agent: Agent, host: string, port = internetPort) => agent.try({ op: "udp", host, port });
  const ask = (agent: Agent, name: string, type = "A", transport: "udp" | "tcp" = "udp") =>
    agent.try({ op: "dns", server: "127.0.0.1", name, type, transport });

  /** TCP ports at which something answers, except where this machine has no such service. */
  async function closedTargets(): Promise<readonly (readonly [host: string, port: number])[]> {
    const { cluster } = namespace;
    const [node, service, pod] = await Promise.all([
      kubectl(cluster, "get", "nodes", "-o", "jsonpath={.items[0].status.addresses[0].address}"),
      kubectl(cluster, "get", "service", "kubernetes", "-o", "jsonpath={.spec.clusterIP}"),
      kubectl(cluster, "-n", namespace.name, "get", "pod", "target", "-o", "jsonpath={.status.podIP}"),
    ]);
    const server = new URL(await kubectl(cluster, "config", "view", "-o", "jsonpath={.clusters[0].cluster.server}"));
    return [
      [node, 10_250],
      [server.hostname, Number(server.port)],
      [service, 443],
      [pod, 7_777],
      [cluster.hostAddress, 22],
      ["169.254.169.254", 80],
      ["fd00:ec2::254", 80],
      ["::ffff:169.254.169.254", 80],
    ];
  }

  /** A pod without any policy, which every other pod reaches. */
  async function startTarget(): Promise<void> {
    const { cluster, name } = namespace;
    const security = { allowPrivilegeEscalation: false, capabilities: { drop: ["ALL"] } };
    const serve = { name: "serve", image, command: ["nc", "-ll", "-p", "7777", "-e", "echo", "open"] };
    const podSecurity = { runAsNonRoot: true, runAsUser: uid, seccompProfile: { type: "RuntimeDefault" } };
    const pod = {
      ...{ apiVersion: "v1", kind: "Pod", metadata: { name: "target" } },
      spec: {
        securityContext: podSecurity,
        containers: [{ ...serve, securityContext: security, imagePullPolicy: "Never" }],
      },
    };
    await using directory = await temporaryDirectory();
    const path = join(directory.path, "pod.json");
    await writeFile(path, JSON.stringify(pod));
    await kubectl(cluster, "-n", name, "create", "-f", path);
    await kubectl(cluster, "-n", name, "wait", "--for=condition=Ready", "--timeout=60s", "pod/target");
  }

  it.concurrent("reaches the internet under the policy public, and nothing else", async () => {
    await using job = await open("public", { kind: "public" });
    const { agent, denials } = job;

    expect(await tcp(agent, world.address)).toMatch(/^open/);
    expect(await udp(agent, world.address)).toMatch(/^open/);
    expect(await ask(agent, "public.example.com")).toBe(`A ${world.address}`);
    expect(await ask(agent, "public.example.com", "TXT", "tcp")).toBe("TXT hello");
    // Other name servers would carry a tunnel.
    expect(await tcp(agent, world.address, 53)).not.toMatch(/^open/);
    expect(await udp(agent, world.address, 53)).not.toMatch(/^open/);
    expect(await tcp(agent, world.address, 853)).not.toMatch(/^open/);
    for (const [host, port] of await closedTargets()) {
      expect([host, port, await tcp(agent, host, port)]).not.toEqual([host, port, expect.stringMatching(/^open/)]);
    }
    expect(await ask(agent, "inside.example.com")).not.toMatch(/\d+\.\d+/);
    expect(await ask(agent, "kubernetes.default.svc.cluster.local")).toBe("NXDOMAIN");
    expect(denials).toContainEqual({ kind: "name", name: "inside.example.com" });
  });

  it.concurrent("reaches what an allow-list names, and nothing else", async () => {
    const { address, otherAddress } = world;
    await using job = await open("listed", allow(`${address}:${internetPort}`, "rebinding.example.com:443"));
    const { agent, denials } = job;

    expect(await tcp(agent, address)).toMatch(/^open/);
    expect(await tcp(agent, address, 443)).not.toMatch(/^open/);
    // Looked up before the pod started, so it is open before the step asks.
    expect(await tcp(agent, otherAddress, 443)).toMatch(/^open/);
    expect(await tcp(agent, otherAddress)).not.toMatch(/^open/);
    expect(await ask(agent, "rebinding.example.com")).not.toMatch(/\d+\.\d+/);
    expect(await tcp(agent, "10.96.0.1", 443)).not.toMatch(/^open/);
    expect(await ask(agent, "public.example.com")).toBe("REFUSED");
    for (const [host, port] of await closedTargets()) {
      expect([host, port, await tcp(agent, host, port)]).not.toEqual([host, port, expect.stringMatching(/^open/)]);
    }
    expect(denials).toContainEqual({ kind: "name", name: "public.example.com" });
  });

  it.concurrent("opens the address of an allowed name before a step learns it, only for the job that asked", async () => {
    const policy = allow("*.example.org:7000");
    await using job = await open("asking", policy);
    await using other = await open("silent", policy);
    const { otherAddress } = world;

    expect(await tcp(job.agent, otherAddress)).not.toMatch(/^open/);
    expect(await ask(job.agent, "late.example.org")).toBe(`A ${otherAddress}`);
    expect(await tcp(job.agent, otherAddress)).toMatch(/^open/);
    expect(await tcp(job.agent, otherAddress, 443)).not.toMatch(/^open/);
    expect(await tcp(other.agent, otherAddress)).not.toMatch(/^open/);
  });

  it.concurrent("has a policy of its own, which goes with its pod", async () => {
    const { cluster, name } = namespace;
    const policies = () =>
      kubectl(cluster, "-n", name, "get", "networkpolicies", "-l", `${ownerLabel}=${labelOf("short")}`, "-o", "name");
    {
      await using _ = await openWorkplace(runtime, { owner: "short", image });
      expect(await policies()).toMatch(/^networkpolicy\S+airlock-place-\S+\n$/);
    }
    await expect.poll(policies, { timeout: 20_000 }).toBe("");
  });
});
