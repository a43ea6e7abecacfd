import { chmod, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { type AllowRule, type EgressPolicy, parseAllowRule } from "@airlock/job";
import { busyboxImage, dockerArchive, temporaryDirectory } from "@airlock/test-kit";
import { afterAll, beforeAll, expect, it } from "vitest";
import type { Abortable, Runtime, SandboxService } from "../../contract/index.ts";
import type { EgressOptions } from "../egress-engine.ts";
import { openEgressSandbox, subjectOf } from "./egress-sandbox.ts";
import { nameServer, publicIpv4, startTestNetwork, type TestNetwork } from "./test-network.ts";

interface ImageRuntime extends Runtime {
  loadImages(archivePath: string, options: Abortable): Promise<string[]>;
}

export interface EgressSubject {
  readonly owner: string;
  create(options: { readonly stateDir: string; readonly egress: EgressOptions }): Promise<ImageRuntime>;
}

const { signal } = new AbortController();
const limits = { cpus: 1, memoryBytes: 256 * 2 ** 20, pids: 100 };

/** Tests of a runtime that runs images: each policy, from inside a sandbox and from the host. */
export function describeRuntimeEgress({ owner, create }: EgressSubject): void {
  let network: TestNetwork;
  let runtime: ImageRuntime;
  let directory: string;
  const cleanup = new AsyncDisposableStack();

  beforeAll(async () => {
    network = cleanup.use(await startTestNetwork());
    const zones = { "public.example.com A": [[{ type: "A", data: publicIpv4, ttl: 300 }]] } as const;
    await network.internet.ask({ op: "name-server", address: nameServer, zones });
    directory = cleanup.use(await temporaryDirectory("e-")).path;
    // The users of virtual machines pass through.
    await chmod(directory, 0o711);
    const upstreams = [{ address: nameServer, port: 53 }];
    runtime = await create({
      // Short, because of the sockets of virtual machines.
      stateDir: join(directory, "s"),
      egress: { networkNamespace: network.hostPath, upstreams },
    });
    cleanup.defer(() => runtime.close());
    const archive = join(directory, "image.tar");
    await writeFile(archive, await dockerArchive(await busyboxImage(), "fixture:1"));
    await runtime.loadImages(archive, { signal });
    cleanup.defer(async () => void (await runtime.collect({ owner, keep: new Set(), signal })));
  });
  afterAll(() => cleanup.disposeAsync());

  let sandboxes = 0;
  async function openSandbox(egress: EgressPolicy, services: readonly SandboxService[] = []) {
    sandboxes += 1;
    return openEgressSandbox(runtime, {
      id: `sandbox-${sandboxes}`,
      ...{ owner, limits, image: "fixture:1", egress, services },
    });
  }

  it("is announced in the runtime's description", async () => {
    const { enforces } = await runtime.describe({ signal });
    expect(enforces).toMatchObject({ egressNone: true, egressPublic: true, egressAllow: true });
  });

  it("provides nothing but loopback under the policy none", async () => {
    await using sandbox = await openSandbox({ kind: "none" });
    expect(await sandbox.run("ls /sys/class/net; nc -w 2 45.45.45.45 80 </dev/null; echo $?")).toMatch(/^lo$.*^1$/ms);
  });

  it("allows the internet by name under the policy public, step after step, and no private address", async () => {
    await using sandbox = await openSandbox({ kind: "public" });
    for (const _ of ["first", "second"]) {
      expect(await sandbox.run("nc -w 2 public.example.com 80 </dev/null")).toContain(`${publicIpv4} <- 192.168.77.2`);
    }
    const denied = "for a in 10.99.0.2 169.254.169.254 192.168.77.2; do nc -w 2 $a 80 </dev/null; echo $?; done";
    expect((await sandbox.run(denied)).match(/^1$/gm)).toHaveLength(3);
    // Reported before the step ends, so that the denials appear in its log.
    expect(sandbox.denials.map(subjectOf).sort()).toEqual(["10.99.0.2", "169.254.169.254", "192.168.77.2"]);
  });

  it("allows what an allow-list names and nothing else", async () => {
    await using sandbox = await openSandbox({
      kind: "allow",
      rules: [parseAllowRule("public.example.com:443") as AllowRule],
    });
    expect(await sandbox.run("nc -w 2 45.45.45.45 443 </dev/null; echo $?")).toMatch(/^1$/m);
    expect(await sandbox.run("nc -w 2 public.example.com 443 </dev/null")).toContain(publicIpv4);
    expect(await sandbox.run("nc -w 2 public.example.com 80 </dev/null; echo $?")).toMatch(/^1$/m);
  });

  it("has services besides what a policy opens, and opens nothing else for them", async () => {
    const service = { port: 4480, serve: (connection: Duplex) => void connection.end("the caller\n") };
    await using sandbox = await openSandbox({ kind: "public" }, [service]);
    expect(await sandbox.run("nc 127.0.0.1 4480 </dev/null; nc -w 2 public.example.com 80 </dev/null")).toMatch(
      /^the caller\n.*<- 192\.168\.77\.2/s,
    );
    await using other = await openSandbox({ kind: "public" });
    expect(await other.run("nc -w 2 127.0.0.1 4480 </dev/null; nc -w 2 192.168.77.2 4480 </dev/null")).not.toContain(
      "the caller",
    );
  });

  it("can't be changed from inside the sandbox", async () => {
    await using sandbox = await openSandbox({ kind: "public" });
    const output = await sandbox.run(`
      ip address add 45.45.1.1/32 dev eth0 && echo added an address
      ip route add 10.0.0.0/8 dev eth0 && echo added a route
      ip link set eth0 down && echo down
      ping -c 1 -W 1 45.45.45.45 >/dev/null 2>&1 && echo pinged
      echo "nameserver 45.45.45.45" > /etc/resolv.conf
      nc -w 2 public.example.com 80 </dev/null && echo resolved
      true
    `);
    expect(output).not.toMatch(/added|^down|pinged|resolved/m);
  });

  it("leaves no link, namespace or rule when its sandboxes are gone", async () => {
    await (await openSandbox({ kind: "public" }))[Symbol.asyncDispose]();
    await runtime.collect({ owner, keep: new Set(), signal });
    expect(await network.onHost("ip", "-brief", "link", "show")).not.toMatch(/^ak/m);
    expect(await network.onHost("nft", "list", "tables")).not.toContain("airlock");
    expect((await readdir("/run/netns")).filter((name) => name.endsWith(`-sandbox-${sandboxes}`))).toEqual([]);
  });
}
