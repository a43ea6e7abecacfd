import { describeWithEngines } from "@airlock/test-kit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { EgressDenial } from "../contract/index.ts";
import { HostNetwork } from "./host/host-network.ts";
import { runTool } from "./host/run-tool.ts";
import {
  type EgressWorld,
  gatewayOf,
  internet,
  lookUp,
  startEgressWorld,
  type WorldSandbox,
} from "./testing/egress-world.ts";
import { echoPort, nameServer, otherPublicIpv4, publicIpv4, publicIpv6 } from "./testing/test-network.ts";

describeWithEngines(["network"], "egress engine", () => {
  let world: EgressWorld;
  beforeAll(async () => {
    world = await startEgressWorld("public");
  });
  afterAll(() => world?.[Symbol.asyncDispose]());

  describe("under the policy public", () => {
    let sandbox: WorldSandbox;
    beforeAll(async () => {
      sandbox = await world.startSandbox(internet);
    });
    afterAll(() => sandbox[Symbol.asyncDispose]());

    it.each([
      [publicIpv4, 80],
      [publicIpv4, 443],
      [publicIpv4, 22],
      [publicIpv6, 443],
    ])("lets a sandbox reach the internet: %s port %i", async (host, port) => {
      expect(await sandbox.agent.try({ op: "tcp", host, port })).toContain(`open ${host}`);
    });

    it.each([publicIpv4, publicIpv6])("lets a sandbox reach the internet by datagrams: %s", async (host) => {
      expect(await sandbox.agent.try({ op: "udp", host, port: 443 })).toContain(`open ${host}`);
    });

    it.each([
      ["metadata of AWS, Google, Azure", "169.254.169.254"],
      ["metadata of AWS containers", "169.254.170.2"],
      ["metadata of Alibaba", "100.100.100.200"],
      ["metadata of Oracle", "192.0.0.192"],
      ["Azure's wire server", "168.63.129.16"],
      ["metadata of AWS over IPv6", "fd00:ec2::254"],
      ["metadata of Google over IPv6", "fd20:ce::254"],
      ["10.0.0.0/8", "10.99.0.2"],
      ["172.16.0.0/12", "172.31.255.254"],
      ["192.168.0.0/16", "192.168.7.7"],
      ["the host's own network", "192.168.77.1"],
      ["CGNAT", "100.64.9.2"],
      ["link-local", "169.254.1.1"],
      ["benchmarks", "198.18.0.77"],
      ["documentation", "203.0.113.9"],
      ["the 6to4 relay", "192.88.99.1"],
      ["class E", "240.1.2.3"],
      ["decimal", "2852039166"],
      ["hexadecimal", "0x0a630002"],
      ["octal", "012.0143.0.02"],
      ["short", "10.6488066"],
      ["IPv4-mapped", "::ffff:10.99.0.2"],
      ["NAT64", "64:ff9b::a9fe:a9fe"],
      ["local NAT64", "64:ff9b:1::a63:2"],
      ["6to4", "2002:a63:2::1"],
      ["Teredo", "2001:0:4136:e378:8000:63bf:f59c:fffd"],
      ["ULA", "fd12:3456::1"],
      ["the host's own network over IPv6", "fd99::1"],
      ["site-local", "fec0::1"],
      ["documentation over IPv6", "2001:db8::10"],
      ["discard-only", "100::1"],
      ["unallocated", "4000::1"],
    ])("does not let a sandbox reach %s: %s", async (_, host) => {
      const request = { op: "tcp", host, port: 80 } as const;
      expect(await world.uncontrolled.try(request)).toMatch(/^open/);
      await world.network.internet.ask({ op: "arrivals" });

      expect(await sandbox.agent.try(request)).not.toMatch(/^open|^timeout/);
      expect(await world.network.internet.ask({ op: "arrivals" })).toEqual([]);
    });

    it.each(["0.0.0.0", "127.1", "224.0.0.251", "255.255.255.255", "::", "ff02::1"])("blocks %s", async (host) => {
      expect(await sandbox.agent.try({ op: "tcp", host, port: 80 })).not.toMatch(/^open/);
      expect(await world.network.internet.ask({ op: "arrivals" })).toEqual([]);
    });

    it.each(["10.99.0.2", "169.254.169.254"])("does not let a sandbox reach %s by datagrams", async (host) => {
      expect(await world.uncontrolled.try({ op: "udp", host, port: echoPort })).toMatch(/^open/);
      await world.network.internet.ask({ op: "arrivals" });
      expect(await sandbox.agent.try({ op: "udp", host, port: echoPort })).not.toMatch(/^open|^timeout/);
      expect(await world.network.internet.ask({ op: "arrivals" })).toEqual([]);
    });

    it.each([
      ["192.168.77.2", 9100],
      ["10.200.0.1", 80],
      ["fd99::2", 9100],
    ])("does not let a sandbox reach the host at %s port %i", async (host, port) => {
      expect(await world.uncontrolled.try({ op: "tcp", host, port })).toMatch(/^open/);
      expect(await sandbox.agent.try({ op: "tcp", host, port })).toBe("ECONNREFUSED");
    });

    it("lets a sandbox reach the host's gateway address only for DNS", async () => {
      expect(await world.uncontrolled.try({ op: "tcp", host: world.uncontrolled.gateway, port: 9100 })).toMatch(
        /^open/,
      );
      const host = gatewayOf(sandbox.attachment);
      expect(await sandbox.agent.try({ op: "tcp", host, port: 9100 })).toBe("ECONNREFUSED");
      const [port] = /redirect to :(\d+)/.exec(await world.network.onHost("nft", "list", "ruleset"))?.slice(1) ?? [];
      expect(await sandbox.agent.try({ op: "tcp", host, port: Number(port) })).toBe("ECONNREFUSED");
      expect(await lookUp(sandbox, "public.example.com")).toEqual([`A ${publicIpv4}`]);
    });

    it("does not let a sandbox reach another sandbox", async () => {
      await using other = await world.startSandbox(internet);
      const { address, ipv6Address } = other.attachment;
      await other.agent.ask({ op: "serve", tcp: [8000], udp: [{ address, port: 8000 }] });
      expect(await other.agent.try({ op: "tcp", host: address, port: 8000 })).toMatch(/^open/);
      await other.agent.ask({ op: "arrivals" });

      for (const host of [address, ipv6Address ?? ""]) {
        expect(await sandbox.agent.try({ op: "tcp", host, port: 8000 })).toBe("ECONNREFUSED");
        expect(await sandbox.agent.try({ op: "udp", host, port: 8000 })).not.toMatch(/^open/);
      }
      expect(await other.agent.ask({ op: "arrivals" })).toEqual([]);
    });

    it.each([
      ["tcp", 53],
      ["tcp", 853],
      ["udp", 853],
    ] as const)("blocks every other name server: %s port %i", async (op, port) => {
      const request = { op, host: publicIpv4, port };
      expect(await world.uncontrolled.try(request)).toMatch(/^open/);
      expect(await sandbox.agent.try(request)).not.toMatch(/^open|^timeout/);
    });

    it("blocks every other name server: udp port 53", async () => {
      const question = { op: "dns", server: nameServer, name: "public.example.com", type: "A" } as const;
      expect(await world.uncontrolled.ask(question)).toEqual([`A ${publicIpv4}`]);
      expect(await sandbox.agent.ask(question)).not.toEqual([`A ${publicIpv4}`]);
    });

    it("does not let a sandbox use address translations that the host makes for others", async () => {
      await new HostNetwork(world.network.hostPath).nft(`
table ip service {
  chain prerouting {
    type nat hook prerouting priority dstnat;
    ip daddr 172.30.0.1 dnat to ${publicIpv4}
    ip daddr ${otherPublicIpv4} dnat to 10.99.0.2
  }
}
`);
      try {
        for (const host of ["172.30.0.1", otherPublicIpv4]) {
          expect(await world.uncontrolled.try({ op: "tcp", host, port: 443 })).toMatch(/^open/);
          expect(await sandbox.agent.try({ op: "tcp", host, port: 443 })).toBe("ECONNREFUSED");
        }
      } finally {
        await world.network.onHost("nft", "delete table ip service");
      }
    });

    it("blocks ICMP, which could carry a tunnel", async () => {
      const ping = (path: string) =>
        runTool(new HostNetwork(path).command("busybox", "ping", "-c", "1", "-W", "1", publicIpv4));
      expect(await ping(world.uncontrolled.path)).toContain("1 packets received");
      await expect(ping(sandbox.attachment.namespacePath)).rejects.toMatchObject({ exitCode: 1 });
    });

    it("accepts only the sandbox's own source address", async () => {
      const inside = new HostNetwork(sandbox.attachment.namespacePath);
      await inside.ip(`address add ${otherPublicIpv4}/32 dev eth0\naddress add 2a00:1450::77/128 dev eth0 nodad\n`);
      await world.network.internet.ask({ op: "arrivals" });
      const send = (host: string, localAddress: string) =>
        sandbox.agent.try({ op: "udp", host, port: 443, localAddress });
      const sent = await Promise.all([send(publicIpv4, otherPublicIpv4), send(publicIpv6, "2a00:1450::77")]);
      expect(sent).toEqual(["timeout", "timeout"]);
      expect(await world.network.internet.ask({ op: "arrivals" })).toEqual([]);
    });

    it("reports each denied destination once, also one tried just before the end", async () => {
      const denials: EgressDenial[] = [];
      {
        await using other = await world.startSandbox(internet);
        for (const port of [80, 80, 443]) await other.agent.try({ op: "tcp", host: "10.99.0.2", port });
        await other.agent.try({ op: "udp", host: "fd99::1", port: 123 });
        await lookUp(other, "metadata.google.internal");
        await other.attachment.reportDenied();
        await other.agent.try({ op: "tcp", host: "169.254.169.254", port: 80 });
        await other[Symbol.asyncDispose]();
        denials.push(...other.denials);
      }
      const sorted = denials.map((denial) => JSON.stringify(denial)).sort();
      expect(sorted).toEqual(
        [
          { kind: "connection", address: "10.99.0.2", port: 80, protocol: "tcp" },
          { kind: "connection", address: "10.99.0.2", port: 443, protocol: "tcp" },
          { kind: "connection", address: "fd99::1", port: 123, protocol: "udp" },
          { kind: "connection", address: "169.254.169.254", port: 80, protocol: "tcp" },
          { kind: "name", name: "metadata.google.internal" },
        ]
          .map((denial) => JSON.stringify(denial))
          .sort(),
      );
    });

    it("reports at most 100 denied destinations of one sandbox", async () => {
      await using other = await world.startSandbox(internet);
      await Promise.all(
        Array.from({ length: 150 }, (_, port) => other.agent.try({ op: "tcp", host: "10.99.0.2", port: port + 1 })),
      );
      await other.attachment.reportDenied();
      expect(other.denials).toHaveLength(100);
    });
  });
});
