import { randomBytes } from "node:crypto";
import type { Duplex } from "node:stream";
import { type AllowRule, type EgressPolicy, parseAllowRule } from "@airlock/job";
import { busyboxImage, describeWithEngines, loadImage, workspacesOfTests } from "@airlock/test-kit";
import { startEngines } from "@airlock/test-kit/start-engines";
import { afterAll, beforeAll, expect, it } from "vitest";
import type { Runtime, SandboxService } from "../contract/index.ts";
import { openEgressSandbox, subjectOf } from "../egress/testing/egress-sandbox.ts";
import {
  nameServer,
  otherPublicIpv4,
  publicIpv4,
  publicIpv6,
  startTestNetwork,
  type TestNetwork,
} from "../egress/testing/test-network.ts";
import { createDockerRuntime } from "./docker-runtime.ts";

const { signal } = new AbortController();
const limits = { cpus: 1, memoryBytes: 128 * 2 ** 20, pids: 100 };
const owner = `docker-egress-${process.pid}`;
const image = "airlock-test-docker-egress:1";
const otherImage = "airlock-test-docker-egress:2";

const workspaces = await workspacesOfTests();

describeWithEngines(["docker", "network"], "egress of the docker runtime", () => {
  let network: TestNetwork;
  let runtime: Runtime;
  const cleanup = new AsyncDisposableStack();

  beforeAll(async () => {
    // A separate engine and network, because other suites connect their own simulated internet.
    const { docker, missing } = cleanup.use(await startEngines(["docker"])).engines;
    if (!docker) throw new Error(missing.docker);
    const { socketPath, networkNamespace } = docker;
    network = cleanup.use(await startTestNetwork({ hostPath: networkNamespace }));
    const zones = {
      "public.example.com A": [[{ type: "A", data: publicIpv4, ttl: 300 }]],
      "private.example.com A": [[{ type: "A", data: "10.99.0.2", ttl: 300 }]],
    } as const;
    await network.internet.ask({ op: "name-server", address: nameServer, zones });
    runtime = createDockerRuntime({
      host: `unix://${socketPath}`,
      allowHostImage: false,
      workspaces,
      addHostGateway: true,
      egress: { networkNamespace, upstreams: [{ address: nameServer, port: 53 }] },
    });
    cleanup.defer(() => runtime.close());
    cleanup.defer(async () => void (await runtime.collect({ owner, keep: new Set(), signal })));
    for (const name of [image, otherImage]) await loadImage(await busyboxImage(), socketPath, name);
  });
  afterAll(() => cleanup.disposeAsync());

  const openSandbox = (egress: EgressPolicy, services: readonly SandboxService[] = []) =>
    openEgressSandbox(runtime, { id: `e${randomBytes(5).toString("hex")}`, owner, limits, image, egress, services });

  it("is announced in the runtime's description", async () => {
    const { enforces } = await runtime.describe({ signal });
    expect(enforces).toMatchObject({ egressNone: true, egressPublic: true, egressAllow: true });
  });

  it("has services in every image besides what a policy opens, and opens nothing else for them", async () => {
    const service = { port: 4480, serve: (connection: Duplex) => void connection.end("the caller\n") };
    await using sandbox = await openSandbox({ kind: "public" }, [service]);
    for (const stepImage of [image, otherImage]) {
      expect(await sandbox.run("nc 127.0.0.1 4480 </dev/null", stepImage)).toBe("the caller\n");
    }
    expect(await sandbox.run("nc -w 2 public.example.com 80 </dev/null")).toContain("<- 192.168.77.2");
    await using other = await openSandbox({ kind: "public" });
    expect(await other.run("nc -w 2 127.0.0.1 4480 </dev/null; nc -w 2 192.168.77.2 4480 </dev/null")).not.toContain(
      "the caller",
    );
  });

  it("allows the internet by name under the policy public, from every image, and no private address", async () => {
    await using sandbox = await openSandbox({ kind: "public" });
    for (const stepImage of [image, otherImage]) {
      const output = await sandbox.run("nc -w 2 public.example.com 80 </dev/null", stepImage);
      expect(output).toContain(`${publicIpv4} <- 192.168.77.2`);
    }
    expect(await sandbox.run(`nc -w 2 ${publicIpv6} 80 </dev/null`)).toContain(publicIpv6);
    const closed = ["10.99.0.2", "169.254.169.254", "192.168.77.2", "10.200.0.1", "172.17.0.1", "fd99::1", "fd99::2"];
    const output = await sandbox.run(
      `for a in ${closed.join(" ")} private.example.com; do nc -w 2 $a 80 </dev/null; echo "$a $?"; done`,
    );
    for (const address of closed) expect(output).toContain(`${address} 1`);
    expect(output).toContain("private.example.com 1");
    expect(output).not.toContain("<-");
    const told = sandbox.denials.map(subjectOf);
    expect(told).toEqual(expect.arrayContaining([...closed, "private.example.com"]));
  });

  it("resolves the host by its name if the administrator configures it, but never connects to it", async () => {
    await using first = await openSandbox({ kind: "public" });
    const hosts = await first.run("grep host.docker.internal /etc/hosts; ping -c 1 -W 1 host.docker.internal; true");
    const address = /^([\d.]+)\s+host\.docker\.internal$/m.exec(hosts)?.[1] ?? "";
    await using allowed = await openSandbox({
      kind: "allow",
      rules: [parseAllowRule(`${address}/32:2375`) as AllowRule],
    });
    const script = "nc -w 2 host.docker.internal 2375 </dev/null; echo $?";

    expect(address).toBe("172.17.0.1");
    expect(hosts).not.toContain("bytes from");
    for (const sandbox of [first, allowed]) {
      for (const stepImage of [image, otherImage]) expect(await sandbox.run(script, stepImage)).toMatch(/^1$/m);
      expect(sandbox.denials).toContainEqual(expect.objectContaining({ address, port: 2375 }));
    }
  });

  it("does not lead to another sandbox", async () => {
    await using one = await openSandbox({ kind: "public" });
    await using two = await openSandbox({ kind: "public" });
    const address = (await one.run("ip -4 -o address show eth0")).match(/inet ([\d.]+)/)?.[1];
    const serving = one.run("timeout 3 nc -l -p 8000 -e echo served; true");
    const output = await two.run(`sleep 1; nc -w 1 ${address} 8000 </dev/null; echo $?`);
    expect(output).toMatch(/^1$/m);
    expect(output).not.toContain("served");
    await serving;
  });

  it("allows what an allow-list names and nothing else", async () => {
    await using sandbox = await openSandbox({
      kind: "allow",
      rules: ["public.example.com:443", "10.99.0.2:5432"].map((text) => parseAllowRule(text) as AllowRule),
    });
    expect(await sandbox.run(`nc -w 2 ${publicIpv4} 443 </dev/null; echo $?`)).toMatch(/^1$/m);
    expect(await sandbox.run("nc -w 2 public.example.com 443 </dev/null")).toContain(publicIpv4);
    expect(await sandbox.run("nc -w 2 public.example.com 80 </dev/null; echo $?")).toMatch(/^1$/m);
    expect(await sandbox.run(`nc -w 2 ${otherPublicIpv4} 443 </dev/null; echo $?`)).toMatch(/^1$/m);
    expect(await sandbox.run("nc -w 2 10.99.0.2 5432 </dev/null")).toContain("10.99.0.2");
    expect(await sandbox.run("nslookup other.example.org; echo $?")).toMatch(/^1$/m);
  });

  it("leaves no bridge, network or rule when its sandboxes are gone", async () => {
    const before = await network.onHost("ip", "-brief", "link", "show");
    await (await openSandbox({ kind: "public" }))[Symbol.asyncDispose]();
    await runtime.collect({ owner, keep: new Set(), signal });
    expect(await network.onHost("ip", "-brief", "link", "show")).not.toMatch(/^ak/m);
    expect(before).not.toMatch(/^ak/m);
    expect(await network.onHost("nft", "list", "tables")).not.toContain("airlock");
  });
});
