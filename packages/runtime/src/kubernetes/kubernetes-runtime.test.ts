import { mkdir, symlink, writeFile } from "node:fs/promises";
import { connect, createServer, type Socket } from "node:net";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import {
  busyboxImage,
  clusterHookMs,
  describeWithEngines,
  kubectl,
  openWorkplace,
  temporaryDirectory,
} from "@airlock/test-kit";
import { afterAll, beforeAll, expect, it } from "vitest";
import type { Runtime } from "../contract/runtime.ts";
import { labelOf, ownerLabel } from "./pod-names.ts";
import { openTestNamespace, type TestNamespace } from "./testing/kubernetes-under-test.ts";

const uid = 1_234_567;
/** Long enough for several attempts to connect. */
const awayMs = 12_000;

describeWithEngines(["kubernetes"], "the Kubernetes runtime in a restricted namespace", () => {
  let namespace: TestNamespace;
  let runtime: Runtime;
  let image: string;
  beforeAll(async () => {
    namespace = await openTestNamespace("restricted", { kind: "restricted", uid, gid: uid });
    runtime = namespace.createRuntime();
    image = await namespace.load(await busyboxImage(), "shell");
  }, clusterHookMs);
  afterAll(async () => {
    await runtime?.close();
    await namespace?.[Symbol.asyncDispose]();
  });

  it.concurrent("runs steps without any privilege, whatever user their image names", async () => {
    await using directory = await temporaryDirectory();
    await mkdir(join(directory.path, "empty"));
    await writeFile(join(directory.path, "file"), "of the checkout\n");
    await symlink("file", join(directory.path, "link"));
    const other = await namespace.load(await busyboxImage({ User: "1000:1000" }), "other");
    await using place = await openWorkplace(runtime, {
      owner: "restricted",
      image,
      workspace: { checkout: directory.path },
    });

    const first = await place.run(
      "id -u; grep -E '^(CapEff|CapBnd|NoNewPrivs)' /proc/self/status; cat link; echo x > file; ls",
    );
    const second = await place.run("id -u; cat file; rm -r empty; ls /airlock /.airlock", { image: other });

    expect(first.stdout).toBe(
      `${uid}\nCapEff:\t${"0".repeat(16)}\nCapBnd:\t${"0".repeat(16)}\nNoNewPrivs:\t1\nof the checkout\nempty\nfile\nlink\n`,
    );
    expect(second.stdout).toBe(`${uid}\nx\n/.airlock:\nagent\nsteps.sock\n\n/airlock:\nstep.2.sh\n`);
  });

  it.concurrent("loses nothing of a step's output while the API server is away", async () => {
    await using server = await interruptibleServer(await apiServer());
    const interrupted = namespace.createRuntime({ server: server.url });
    const started = Promise.withResolvers<void>();
    let printed = "";
    try {
      await using place = await openWorkplace(interrupted, { owner: "interrupted", image });
      const running = place.start("echo started; for i in $(seq 1 400); do echo line $i; sleep 0.02; done; exit 7", {
        output: (_, bytes) => {
          printed += bytes.toString();
          started.resolve();
        },
      });
      await started.promise;
      server.stop();
      await delay(awayMs);
      const printedMeanwhile = printed;
      server.resume();

      expect(await running).toEqual({ kind: "exited", exitCode: 7 });
      const lines = Array.from({ length: 400 }, (_, index) => `line ${index + 1}\n`);
      expect(printed).toBe(`started\n${lines.join("")}`);
      expect(printedMeanwhile.length).toBeLessThan(printed.length);
      await place.sandbox.stop({ signal: new AbortController().signal });
    } finally {
      await interrupted.close();
    }
  });

  it.concurrent("creates sandboxes and starts steps once the API server is back", async () => {
    await using server = await interruptibleServer(await apiServer());
    const interrupted = namespace.createRuntime({ server: server.url });
    try {
      server.stop();
      const opening = openWorkplace(interrupted, { owner: "delayed", image });
      await delay(3_000);
      server.resume();
      await using place = await opening;

      server.stop();
      const running = place.run("echo done");
      await delay(3_000);
      server.resume();
      expect((await running).stdout).toBe("done\n");
    } finally {
      server.resume();
      await interrupted.close();
    }
  });

  it.concurrent("ends a job that fills its disk, for a reason of the job", async () => {
    const limits = { cpus: 0.5, memoryBytes: 128e6, pids: 100, diskBytes: 8 * 2 ** 20 };
    await using place = await openWorkplace(runtime, { owner: "full", image, limits });

    await expect(place.run("dd if=/dev/zero of=/data/large bs=1M count=40; sleep 600")).rejects.toMatchObject({
      code: "disk-full",
      reason: "step-failed",
      message: expect.stringMatching(/^the job's disk is full: /),
    });
  }, 180_000);

  it.concurrent("refuses jobs whose network another NetworkPolicy opens, unless the administrator allows that", async () => {
    const owner = labelOf("opened");
    const policy = {
      ...{ apiVersion: "networking.k8s.io/v1", kind: "NetworkPolicy" },
      metadata: { name: "opens-all" },
      spec: {
        podSelector: { matchLabels: { [ownerLabel]: owner } },
        ...{ policyTypes: ["Egress"], egress: [{}] },
      },
    };
    await using directory = await temporaryDirectory();
    await writeFile(join(directory.path, "policy.json"), JSON.stringify(policy));
    await kubectl(namespace.cluster, "-n", namespace.name, "create", "-f", join(directory.path, "policy.json"));

    await expect(openWorkplace(runtime, { owner: "opened", image })).rejects.toMatchObject({
      reason: "runtime",
      message: expect.stringMatching(/does not enforce the NetworkPolicy.* reaches the API server and the kubelet/),
      hint: expect.stringContaining("network plugin"),
    });
    const allowing = namespace.createRuntime({ egress: { openNetworks: "allow" } });
    await using stack = new AsyncDisposableStack();
    stack.defer(() => allowing.close());
    const { sandbox } = stack.use(await openWorkplace(allowing, { owner: "opened", image }));
    expect(sandbox.notes).toEqual([expect.stringMatching(/^network: open, because .* reaches the API server/)]);
  });

  it.concurrent("closes the API server, the node, other pods and the metadata service to steps", async () => {
    const { cluster, name } = namespace;
    await using other = await openWorkplace(runtime, { owner: "target", image });
    await using place = await openWorkplace(runtime, { owner: "attacker", image });
    const listening = other.start("nc -l -p 7777");
    // Ends with its sandbox.
    listening.catch(() => {});
    const address = await kubectl(
      ...[cluster, "-n", name, "get", "pods", "-l", `${ownerLabel}=${labelOf("target")}`],
      ...["-o", "jsonpath={.items[0].status.podIP}"],
    );
    const node = await kubectl(cluster, "get", "nodes", "-o", "jsonpath={.items[0].status.addresses[0].address}");
    const service = await kubectl(cluster, "get", "service", "kubernetes", "-o", "jsonpath={.spec.clusterIP}");
    const server = await apiServer();
    const targets = [
      `${address} 7777`,
      `${node} 10250`,
      `${server.hostname} ${server.port}`,
      `${service} 443`,
      `${cluster.hostAddress} 22`,
      "169.254.169.254 80",
    ];
    const attack = targets.map((target) => `nc -w 2 ${target} < /dev/null > /dev/null 2>&1 && echo reached ${target}`);
    const { stdout } = await place.run(
      `${attack.join("\n")}\nls /var/run/secrets /run/secrets 2>/dev/null; env | grep KUBERNETES; echo done`,
    );

    expect(stdout).toBe("done\n");
    await other.sandbox.stop({ signal: new AbortController().signal });
  });

  async function apiServer(): Promise<URL> {
    const { cluster } = namespace;
    return new URL(await kubectl(cluster, "config", "view", "-o", "jsonpath={.clusters[0].cluster.server}"));
  }
});

/** Forwards connections to a server, until it is told to be away. */
async function interruptibleServer({ hostname, port }: URL) {
  const sockets = new Set<Socket>();
  let isAway = false;
  const server = createServer((client) => {
    if (isAway) {
      client.destroy();
      return;
    }
    const upstream = connect(Number(port), hostname);
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket
        .on("error", () => {})
        .on("close", () => {
          sockets.delete(socket);
          client.destroy();
          upstream.destroy();
        });
    }
    client.pipe(upstream).pipe(client);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  const end = () => {
    isAway = true;
    for (const socket of sockets) socket.destroy();
  };
  return {
    url: `https://127.0.0.1:${typeof address === "object" && address ? address.port : 0}`,
    stop: end,
    resume: () => {
      isAway = false;
    },
    async [Symbol.asyncDispose]() {
      end();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
