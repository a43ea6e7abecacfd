import { chmod, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { busyboxImage, describeWithEngines, dockerArchive, temporaryDirectory } from "@airlock/test-kit";
import { afterAll, beforeAll, expect, it, vi } from "vitest";
import type { Bandwidth } from "../egress/index.ts";
import { openEgressSandbox } from "../egress/testing/egress-sandbox.ts";
import { publicIpv4, publicIpv6, startTestNetwork, type TestNetwork } from "../egress/testing/test-network.ts";
import { findCgroupHost } from "../host/cgroups/cgroup-host.ts";
import type { Hardening } from "../isolation/hardening.ts";
import { createMicrovmRuntime, type MicrovmRuntime } from "./microvm-runtime.ts";
import { testGuest, testQemuMonitor } from "./testing/test-guest.ts";

const { signal } = new AbortController();
const limits = { cpus: 1, memoryBytes: 256 * 2 ** 20, pids: 100 };
/** Runtimes that enforce egress policies at the same time need different owners, as executors have. */
const ownerOf = (name: string) => `${name}-${process.pid}`;
const usual = ownerOf("usual");
const image = "fixture:1";
/** What a machine may send at once, beyond its rate. */
const burstBytes = 256 * 1024;

describeWithEngines(["microvm", "network"], "the network of a virtual machine", () => {
  const cleanup = new AsyncDisposableStack();
  let network: TestNetwork;
  let directory: string;
  let runtime: MicrovmRuntime;

  const open = async (options: { readonly hardening?: Partial<Hardening>; readonly bandwidth?: Bandwidth } = {}) => {
    const monitor = await testQemuMonitor({ owner: usual });
    return await createMicrovmRuntime({
      stateDir: directory,
      guest: await testGuest(),
      monitorFor: (name) => monitor.of(name),
      cgroupHost: await findCgroupHost(),
      egress: { networkNamespace: network.hostPath, upstreams: [] },
      ...options,
    });
  };
  const openSandbox = (id: string, { of = runtime, owner = usual } = {}) =>
    openEgressSandbox(of, { id, owner, limits, image, egress: { kind: "public" } });

  beforeAll(async () => {
    network = cleanup.use(await startTestNetwork());
    directory = cleanup.use(await temporaryDirectory("n-")).path;
    // The users of virtual machines pass through.
    await chmod(directory, 0o711);
    runtime = await open();
    cleanup.defer(() => runtime.close());
    const archive = join(directory, "image.tar");
    await writeFile(archive, await dockerArchive(await busyboxImage(), image));
    await runtime.loadImages(archive, { signal });
  });
  afterAll(() => cleanup.disposeAsync());

  it("holds against root of the guest", async () => {
    const hardening: Partial<Hardening> = {
      capabilities: ["NET_ADMIN", "NET_RAW", "SYS_ADMIN"],
      userNamespace: false,
      seccomp: false,
    };
    const hostile = await open({ hardening });
    try {
      await using neighbour = await openSandbox("neighbour");
      const victim = /inet (198\S+)\//.exec(await neighbour.run("ip address show eth0"))?.[1] ?? "none";
      await using sandbox = await openSandbox("hostile", { of: hostile, owner: ownerOf("hostile") });
      await network.internet.ask({ op: "arrivals" });
      const output = await sandbox.run(`
        gateway=$(ip route | awk '/^default/ { print $3 }')
        nc -w 2 ${publicIpv4} 443 </dev/null && echo reached
        ip address add ${victim}/32 dev eth0 && ip address add 10.99.0.77/8 dev eth0 && echo added
        nc -w 2 -s ${victim} ${publicIpv4} 22 </dev/null; nc -w 2 -s 10.99.0.77 ${publicIpv4} 22 </dev/null
        arping -c 2 -w 2 -I eth0 "$gateway"; arping -U -c 2 -w 2 -I eth0 -s ${victim} ${victim}
        ip neigh flush dev eth0; ip link set eth0 mtu 9000; ip route add 10.0.0.0/8 via "$gateway" dev eth0 onlink
        nc -w 2 10.99.0.2 80 </dev/null
        ping -c 1 -W 1 -s 3000 ${publicIpv4}
        true
      `);
      expect(output).toContain("reached");
      expect(output).toContain("added");
      expect(await network.internet.ask({ op: "arrivals" })).toEqual([`tcp ${publicIpv4} <- 192.168.77.2`]);
      const neighbours = await network.onHost("ip", "neighbour", "show", "nud", "all");
      const guests = neighbours.split("\n").filter((line) => / dev ak/.test(line) && !/ff02|224\./.test(line));
      for (const line of guests) expect(line).toMatch(/lladdr 06:a1:0c:[0-9a-f:]+ PERMANENT/);
      expect(await neighbour.run(`nc -w 2 ${publicIpv4} 443 </dev/null`)).toContain(publicIpv4);
    } finally {
      await hostile.close();
    }
  });

  it("is connected by the policy of its job if the machine was waiting", async () => {
    const owner = ownerOf("waiting");
    const like = { limits, egress: { kind: "public" } } as const;
    await using ready = runtime.keepReady?.({ owner, count: 1, like }) ?? expect.unreachable();
    await vi.waitFor(() => expect(ready.counts.ready).toBe(1), { timeout: 60_000, interval: 50 });
    await using sandbox = await openSandbox("waited", { owner });
    expect(ready.counts).toMatchObject({ hits: 1, misses: 0 });
    const output = await sandbox.run(`
      nc -w 2 ${publicIpv4} 443 </dev/null && echo reached
      nc -w 2 ${publicIpv6} 80 </dev/null
      nc -w 2 10.99.0.2 80 </dev/null || echo closed`);
    expect(output).toMatch(/reached[\s\S]*closed/);
    expect(output).toContain(publicIpv6);
    expect(sandbox.denials).toEqual([expect.objectContaining({ address: "10.99.0.2" })]);
  });

  it("has IPv6", async () => {
    await using sandbox = await openSandbox("ipv6");
    expect(await sandbox.run(`nc -w 2 ${publicIpv6} 80 </dev/null`)).toContain(publicIpv6);
  });

  it("is limited to bytes per second", async () => {
    const rate = 200_000;
    const slow = await open({ bandwidth: { ingress: rate, egress: rate } });
    try {
      await using sandbox = await openSandbox("slow", { of: slow, owner: ownerOf("slow") });
      const seconds = async (bytes: number) => {
        const output = await sandbox.run(`
          now() { awk '{ print $1 }' /proc/uptime; }
          begin=$(now); head -c ${bytes} /dev/zero | nc ${publicIpv4} 80 >/dev/null
          echo "took $begin $(now)"`);
        const [, begin = "", end = ""] = /took (\S+) (\S+)/.exec(output) ?? [];
        return Number(end) - Number(begin);
      };
      expect(await seconds(1_000_000)).toBeGreaterThan((1_000_000 - burstBytes) / rate);
    } finally {
      await slow.close();
    }
  });

  it("is removed with a machine whose executor is gone", async () => {
    const sandbox = await openSandbox("orphan");
    const end = async () => await sandbox[Symbol.asyncDispose]();
    const other = await open();
    try {
      await other.collect({ owner: usual, keep: new Set(), signal });
      expect(await network.onHost("ip", "link", "show")).not.toContain("airlock:orphan");
      expect((await readdir("/run/netns")).filter((name) => name.endsWith("-orphan"))).toEqual([]);
    } finally {
      // In this test the first executor lives on, and misses its namespace.
      await expect(end()).rejects.toThrow("-orphan");
      await other.close();
    }
  });
});
