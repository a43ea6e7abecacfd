import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdir, readFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { type AllowRule, parseAllowRule } from "@airlock/job";
import { describeWithEngines } from "@airlock/test-kit";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import type { EgressDenial } from "../contract/egress-denial.ts";
import type { EgressEngine, NamespaceAttachment } from "./egress-engine.ts";
import { HostNetwork } from "./host/host-network.ts";
import { ownerNames } from "./host/names.ts";
import { runTool } from "./host/run-tool.ts";
import { createEgressEngine } from "./nftables-engine.ts";
import type { ConnectedPolicy } from "./policy/compile-policy.ts";
import { type Agent, startAgent } from "./testing/agent.ts";
import type { Zones } from "./testing/agent-messages.ts";
import {
  echoPort,
  nameServer,
  otherPublicIpv4,
  publicIpv4,
  publicIpv6,
  startNamespace,
  startTestNetwork,
  startUncontrolledSandbox,
  type TestNetwork,
} from "./testing/test-network.ts";

const { signal } = new AbortController();
/** Namespaces have names that the whole machine sees: two runs at once must not meet. */
const ownerOf = (part: string) => `egress-${part}-${process.pid}`;
const owner = ownerOf("test");
const upstreams = [{ address: nameServer, port: 53 }];
const internet: ConnectedPolicy = { kind: "public" };

const a = (data: string, ttl = 300) => ({ type: "A", data, ttl }) as const;
const aaaa = (data: string) => ({ type: "AAAA", data, ttl: 300 }) as const;
const zones: Zones = {
  "public.example.com A": [[a(publicIpv4)]],
  "public.example.com AAAA": [[aaaa(publicIpv6)]],
  "public.example.com TXT": [[{ type: "TXT", data: "hello", ttl: 300 }]],
  "mail.example.com MX": [[{ type: "MX", data: "public.example.com", ttl: 300 }]],
  "private.example.com A": [[a("10.99.0.2")]],
  "mixed.example.com A": [[a("10.99.0.2"), a(publicIpv4), a("169.254.169.254")]],
  "rebinding.example.com A": [[a(publicIpv4, 0)], [a("10.99.0.2", 0)]],
  "alias.example.com A": [
    [
      { type: "CNAME", data: "target.example.net", ttl: 300 },
      { ...a(publicIpv4), owner: "target.example.net" },
    ],
  ],
  "alias-to-private.example.com A": [
    [
      { type: "CNAME", data: "inside.example.net", ttl: 300 },
      { ...a("192.168.7.7"), owner: "inside.example.net" },
    ],
  ],
  "poison.example.com A": [[a(publicIpv4), { ...a(otherPublicIpv4), owner: "bank.example.net" }]],
  "mapped.example.com AAAA": [
    [aaaa("::ffff:10.99.0.2"), aaaa("64:ff9b::a63:2"), aaaa("2002:a63:2::1"), aaaa("fe80::1")],
  ],
  "other.example.org A": [[a(otherPublicIpv4)]],
  "deep.sub.example.org A": [[a(otherPublicIpv4)]],
  "*.tunnel.example.org A": [[a(publicIpv4)]],
};

function allow(...rules: readonly string[]): ConnectedPolicy {
  return { kind: "allow", rules: rules.map((text) => parseAllowRule(text) as AllowRule) };
}

describeWithEngines(["network"], "egress engine", () => {
  let network: TestNetwork;
  let engine: EgressEngine;
  /** What any of these tests shows as closed is open to this one. */
  let uncontrolled: Awaited<ReturnType<typeof startUncontrolledSandbox>>;
  const cleanup = new AsyncDisposableStack();

  beforeAll(async () => {
    network = cleanup.use(await startTestNetwork());
    await network.internet.ask({ op: "name-server", address: nameServer, zones });
    uncontrolled = cleanup.use(await startUncontrolledSandbox(network));
    engine = createEgressEngine({ owner, networkNamespace: network.hostPath, upstreams });
    cleanup.defer(() => engine.close());
  });
  afterAll(() => cleanup.disposeAsync());

  let count = 0;
  /** A sandbox under a policy, with an agent in it. */
  async function startSandbox(
    policy: ConnectedPolicy,
  ): Promise<{ attachment: NamespaceAttachment; agent: Agent; denials: EgressDenial[] } & AsyncDisposable> {
    await using undo = new AsyncDisposableStack();
    const denials: EgressDenial[] = [];
    count += 1;
    const attachment = undo.use(
      await engine.attachNamespace({
        sandboxId: `sandbox-${count}`,
        policy,
        onDenied: (denial) => denials.push(denial),
        signal,
      }),
    );
    const agent = undo.use(await startAgent(attachment.namespacePath));
    const owned = undo.move();
    return { attachment, agent, denials, [Symbol.asyncDispose]: () => owned.disposeAsync() };
  }

  function gatewayOf({ resolvConf }: NamespaceAttachment): string {
    return /nameserver (\S+)/.exec(resolvConf)?.[1] ?? "";
  }

  function lookUp({ attachment, agent }: { attachment: NamespaceAttachment; agent: Agent }, name: string, type = "A") {
    return agent.ask({ op: "dns", server: gatewayOf(attachment), name, type });
  }

  describe("under the policy public", () => {
    let sandbox: Awaited<ReturnType<typeof startSandbox>>;
    beforeAll(async () => {
      sandbox = await startSandbox(internet);
    });
    afterAll(() => sandbox[Symbol.asyncDispose]());

    it.each([
      [publicIpv4, 80],
      [publicIpv4, 443],
      [publicIpv4, 22],
      [publicIpv6, 443],
    ])("reaches the internet: %s port %i", async (host, port) => {
      expect(await sandbox.agent.try({ op: "tcp", host, port })).toContain(`open ${host}`);
    });

    it.each([publicIpv4, publicIpv6])("reaches the internet by datagrams: %s", async (host) => {
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
    ])("does not reach %s: %s", async (_, host) => {
      const request = { op: "tcp", host, port: 80 } as const;
      expect(await uncontrolled.try(request)).toMatch(/^open/);
      await network.internet.ask({ op: "arrivals" });

      const before = performance.now();
      expect(await sandbox.agent.try(request)).not.toMatch(/^open|^timeout/);
      expect(performance.now() - before).toBeLessThan(1000);
      expect(await network.internet.ask({ op: "arrivals" })).toEqual([]);
    });

    it.each(["0.0.0.0", "127.1", "224.0.0.251", "255.255.255.255", "::", "ff02::1"])(
      "does not reach anybody by %s",
      async (host) => {
        expect(await sandbox.agent.try({ op: "tcp", host, port: 80 })).not.toMatch(/^open/);
        expect(await network.internet.ask({ op: "arrivals" })).toEqual([]);
      },
    );

    it.each(["10.99.0.2", "169.254.169.254"])("does not reach %s by datagrams", async (host) => {
      expect(await uncontrolled.try({ op: "udp", host, port: echoPort })).toMatch(/^open/);
      await network.internet.ask({ op: "arrivals" });
      expect(await sandbox.agent.try({ op: "udp", host, port: echoPort })).not.toMatch(/^open|^timeout/);
      expect(await network.internet.ask({ op: "arrivals" })).toEqual([]);
    });

    it.each([
      ["192.168.77.2", 9100],
      ["10.200.0.1", 80],
      ["fd99::2", 9100],
    ])("does not reach the host at %s port %i", async (host, port) => {
      expect(await uncontrolled.try({ op: "tcp", host, port })).toMatch(/^open/);
      expect(await sandbox.agent.try({ op: "tcp", host, port })).toBe("ECONNREFUSED");
    });

    it("does not reach the host at its own gateway but for names", async () => {
      expect(await uncontrolled.try({ op: "tcp", host: uncontrolled.gateway, port: 9100 })).toMatch(/^open/);
      const host = gatewayOf(sandbox.attachment);
      expect(await sandbox.agent.try({ op: "tcp", host, port: 9100 })).toBe("ECONNREFUSED");
      const [port] = /redirect to :(\d+)/.exec(await network.onHost("nft", "list", "ruleset"))?.slice(1) ?? [];
      expect(await sandbox.agent.try({ op: "tcp", host, port: Number(port) })).toBe("ECONNREFUSED");
      expect(await lookUp(sandbox, "public.example.com")).toEqual([`A ${publicIpv4}`]);
    });

    it("does not reach another sandbox", async () => {
      await using other = await startSandbox(internet);
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
    ] as const)("asks no other name server: %s port %i", async (op, port) => {
      const request = { op, host: publicIpv4, port };
      expect(await uncontrolled.try(request)).toMatch(/^open/);
      expect(await sandbox.agent.try(request)).not.toMatch(/^open|^timeout/);
    });

    it("asks no other name server: udp port 53", async () => {
      const question = { op: "dns", server: nameServer, name: "public.example.com", type: "A" } as const;
      expect(await uncontrolled.ask(question)).toEqual([`A ${publicIpv4}`]);
      expect(await sandbox.agent.ask(question)).not.toEqual([`A ${publicIpv4}`]);
    });

    it("reaches nothing through a translation that the host makes for others", async () => {
      await new HostNetwork(network.hostPath).nft(`
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
          expect(await uncontrolled.try({ op: "tcp", host, port: 443 })).toMatch(/^open/);
          expect(await sandbox.agent.try({ op: "tcp", host, port: 443 })).toBe("ECONNREFUSED");
        }
      } finally {
        await network.onHost("nft", "delete table ip service");
      }
    });

    it("lets no ICMP through, which could be a tunnel", async () => {
      const ping = (path: string) =>
        runTool(new HostNetwork(path).command("busybox", "ping", "-c", "1", "-W", "1", publicIpv4));
      expect(await ping(uncontrolled.path)).toContain("1 packets received");
      await expect(ping(sandbox.attachment.namespacePath)).rejects.toMatchObject({ exitCode: 1 });
    });

    it("believes no source address but the sandbox's own", async () => {
      const inside = new HostNetwork(sandbox.attachment.namespacePath);
      await inside.ip(`address add ${otherPublicIpv4}/32 dev eth0\naddress add 2a00:1450::77/128 dev eth0 nodad\n`);
      await network.internet.ask({ op: "arrivals" });
      const send = (host: string, localAddress: string) =>
        sandbox.agent.try({ op: "udp", host, port: 443, localAddress });
      const sent = await Promise.all([send(publicIpv4, otherPublicIpv4), send(publicIpv6, "2a00:1450::77")]);
      expect(sent).toEqual(["timeout", "timeout"]);
      expect(await network.internet.ask({ op: "arrivals" })).toEqual([]);
    });

    it("tells each denied destination once, also when it was tried a moment before the end", async () => {
      const denials: EgressDenial[] = [];
      {
        await using other = await startSandbox(internet);
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

    it("tells no more than 100 denied destinations of one sandbox", async () => {
      await using other = await startSandbox(internet);
      await Promise.all(
        Array.from({ length: 150 }, (_, port) => other.agent.try({ op: "tcp", host: "10.99.0.2", port: port + 1 })),
      );
      await other.attachment.reportDenied();
      expect(other.denials).toHaveLength(100);
    });
  });

  describe("names under the policy public", () => {
    let sandbox: Awaited<ReturnType<typeof startSandbox>>;
    beforeAll(async () => {
      sandbox = await startSandbox(internet);
    });
    afterAll(() => sandbox[Symbol.asyncDispose]());

    it.each([
      ["public.example.com", "A", [`A ${publicIpv4}`]],
      ["PuBlic.Example.com", "A", [`A ${publicIpv4}`]],
      ["public.example.com", "AAAA", [`AAAA ${publicIpv6}`]],
      ["public.example.com", "TXT", ["TXT hello"]],
      ["mail.example.com", "MX", ['MX {"preference":10,"exchange":"public.example.com"}']],
      ["alias.example.com", "A", ["CNAME target.example.net", `A ${publicIpv4}`]],
      ["missing.example.com", "A", ["NXDOMAIN"]],
    ])("resolves %s %s", async (name, type, answer) => {
      expect(await lookUp(sandbox, name, type)).toEqual(answer);
    });

    it("resolves over TCP", async () => {
      const server = gatewayOf(sandbox.attachment);
      expect(
        await sandbox.agent.ask({ op: "dns", server, name: "public.example.com", type: "A", transport: "tcp" }),
      ).toEqual([`A ${publicIpv4}`]);
    });

    it.each([
      ["private.example.com", "A", ["NOERROR"]],
      ["mixed.example.com", "A", [`A ${publicIpv4}`]],
      ["alias-to-private.example.com", "A", ["CNAME inside.example.net"]],
      ["mapped.example.com", "AAAA", ["NOERROR"]],
      ["poison.example.com", "A", [`A ${publicIpv4}`]],
    ])("takes what is closed or foreign out of the answer for %s", async (name, type, answer) => {
      expect(await lookUp(sandbox, name, type)).toEqual(answer);
    });

    it("does not follow a name that turns to a private address at the second look", async () => {
      expect(await lookUp(sandbox, "rebinding.example.com")).toEqual([`A ${publicIpv4}`]);
      expect(await lookUp(sandbox, "rebinding.example.com")).toEqual(["NOERROR"]);
      expect(sandbox.denials).toContainEqual({ kind: "name", name: "rebinding.example.com" });
    });

    it.each([
      ["metadata.google.internal", "A"],
      ["printer.local", "A"],
      ["localhost", "A"],
      ["db", "A"],
      ["2.0.99.10.in-addr.arpa", "PTR"],
      ["public.example.com", "NULL"],
      ["public.example.com", "ANY"],
      ["public.example.com", "AXFR"],
      ["public.example.com", "UNKNOWN_65"],
    ])("asks nobody for %s %s", async (name, type) => {
      await network.internet.ask({ op: "questions" });
      const [answer] = await lookUp(sandbox, name, type);
      expect(answer).toMatch(/NXDOMAIN|REFUSED|NOERROR/);
      expect(await network.internet.ask({ op: "questions" })).toEqual([]);
    });

    it("survives packets that are no queries", async () => {
      const server = gatewayOf(sandbox.attachment);
      const header = "12670100000100000000";
      for (const hex of [
        "00",
        "ff".repeat(600),
        "126701000001000000000000", // a question that is not there
        `${header}0000c00c00010001`, // a name that points at itself
        "12670100ffffffffffffffff", // 65535 of everything
        `${header}00003f${"61".repeat(63)}3f${"61".repeat(63)}3f${"61".repeat(63)}3f${"61".repeat(63)}0000010001`,
        "126781800001000000000000", // a response
      ]) {
        void sandbox.agent.try({ op: "raw-dns", server, hex });
      }
      await sleep(200);
      expect(await lookUp(sandbox, "public.example.com")).toEqual([`A ${publicIpv4}`]);
    });

    it("carries no more than a bounded number of bytes out in names", async () => {
      await using other = await startSandbox(internet);
      await network.internet.ask({ op: "questions" });
      const label = "x".repeat(55);
      const answers = await Promise.all(
        Array.from({ length: 60 }, (_, index) =>
          sleep(index * 5).then(() => lookUp(other, `${label}${index}.${label}.${label}.tunnel.example.org`)),
        ),
      );
      const carried = (await network.internet.ask({ op: "questions" })).join("").length;
      expect(answers.filter(([answer]) => answer === "REFUSED").length).toBeGreaterThan(5);
      expect(carried).toBeLessThan(10_000);
      expect(other.denials).toEqual([
        { kind: "name", name: expect.stringContaining("tunnel.example.org"), isOverLimit: true },
      ]);
    });
  });

  describe("under an allow-list", () => {
    it("reaches a name's addresses on the rule's port, and only once it was looked up", async () => {
      await using sandbox = await startSandbox(allow("public.example.com:443", "*.example.org:80"));
      const to = (host: string, port: number) => sandbox.agent.try({ op: "tcp", host, port });
      expect(await to(publicIpv4, 443)).toBe("ECONNREFUSED");

      expect(await lookUp(sandbox, "public.example.com")).toEqual([`A ${publicIpv4}`]);
      expect(await to(publicIpv4, 443)).toMatch(/^open/);
      expect(await to(publicIpv4, 80)).toBe("ECONNREFUSED");
      expect(await to(otherPublicIpv4, 443)).toBe("ECONNREFUSED");
      expect(await to(publicIpv6, 443)).toBe("ECONNREFUSED");
      expect(await lookUp(sandbox, "public.example.com", "AAAA")).toEqual([`AAAA ${publicIpv6}`]);
      expect(await to(publicIpv6, 443)).toMatch(/^open/);
      expect(await sandbox.agent.try({ op: "udp", host: publicIpv4, port: 443 })).toMatch(/^open/);

      expect(await lookUp(sandbox, "deep.sub.example.org")).toEqual([`A ${otherPublicIpv4}`]);
      expect(await to(otherPublicIpv4, 80)).toMatch(/^open/);
      expect(await to(otherPublicIpv4, 443)).toBe("ECONNREFUSED");
    });

    it("opens every port of a name whose rule has none, but for other name servers", async () => {
      await using sandbox = await startSandbox(allow("public.example.com"));
      await lookUp(sandbox, "public.example.com");
      for (const port of [22, 5432]) {
        expect(await sandbox.agent.try({ op: "tcp", host: publicIpv4, port })).toMatch(/^open/);
      }
      for (const port of [53, 853]) {
        expect(await sandbox.agent.try({ op: "tcp", host: publicIpv4, port })).toBe("ECONNREFUSED");
      }
    });

    it("does not open an address because a name was looked up before in another sandbox", async () => {
      await using one = await startSandbox(allow("public.example.com"));
      await using two = await startSandbox(allow("public.example.com"));
      await lookUp(one, "public.example.com");
      expect(await two.agent.try({ op: "tcp", host: publicIpv4, port: 443 })).toBe("ECONNREFUSED");
    });

    it("follows aliases, whatever their names", async () => {
      await using sandbox = await startSandbox(allow("alias.example.com:443"));
      expect(await lookUp(sandbox, "alias.example.com")).toEqual(["CNAME target.example.net", `A ${publicIpv4}`]);
      expect(await sandbox.agent.try({ op: "tcp", host: publicIpv4, port: 443 })).toMatch(/^open/);
    });

    it.each([
      ["other.example.org", "A", "REFUSED"],
      ["example.com", "A", "REFUSED"],
      ["evilexample.com", "A", "REFUSED"],
      ["public.example.com.evil.net", "A", "REFUSED"],
      ["public.example.com", "TXT", "REFUSED"],
      ["public.example.com", "NULL", "REFUSED"],
      ["public.example.com", "UNKNOWN_65", "NOERROR"],
    ])("asks nobody for %s %s", async (name, type, answer) => {
      await using sandbox = await startSandbox(allow("public.example.com:443", "*.sub.example.org"));
      await network.internet.ask({ op: "questions" });
      expect(await lookUp(sandbox, name, type)).toEqual([answer]);
      expect(await network.internet.ask({ op: "questions" })).toEqual([]);
    });

    it("opens no private address that an allowed name leads to", async () => {
      await using sandbox = await startSandbox(allow("private.example.com", "poison.example.com:443"));
      expect(await lookUp(sandbox, "private.example.com")).toEqual(["NOERROR"]);
      expect(await sandbox.agent.try({ op: "tcp", host: "10.99.0.2", port: 443 })).toBe("ECONNREFUSED");
      expect(sandbox.denials).toContainEqual({ kind: "name", name: "private.example.com" });
      await lookUp(sandbox, "poison.example.com");
      expect(await sandbox.agent.try({ op: "tcp", host: otherPublicIpv4, port: 443 })).toBe("ECONNREFUSED");
    });

    it("keeps a connection whose name has expired, and begins no other", async () => {
      await using sandbox = await startSandbox(allow("public.example.com:443"));
      await lookUp(sandbox, "public.example.com");
      const held = await sandbox.agent.try({ op: "hold", name: "held", host: publicIpv4, port: 443 });
      expect(held).toBe("open");
      const { table } = ownerNames(owner);
      const pins = [...(await network.onHost("nft", "list", "table", "inet", table)).matchAll(/set (p4_\d+) /g)];
      for (const [, set] of pins) await network.onHost("nft", "flush", "set", "inet", table, set ?? "");

      expect(await sandbox.agent.try({ op: "echo", name: "held" })).toMatch(/^open/);
      expect(await sandbox.agent.try({ op: "tcp", host: publicIpv4, port: 443 })).toBe("ECONNREFUSED");
    });

    it("pins an address again when its name is looked up again", async () => {
      await using sandbox = await startSandbox(allow("public.example.com:443"));
      for (let time = 0; time < 3; time += 1) {
        expect(await lookUp(sandbox, "public.example.com")).toEqual([`A ${publicIpv4}`]);
      }
      expect(await sandbox.agent.try({ op: "tcp", host: publicIpv4, port: 443 })).toMatch(/^open/);
    });

    it("opens a private range that a rule names, on its port only", async () => {
      await using sandbox = await startSandbox(allow("10.99.0.2/32:5432", "[fd12:3456::/64]:443"));
      const to = (host: string, port: number) => sandbox.agent.try({ op: "tcp", host, port });
      expect(await to("10.99.0.2", 5432)).toMatch(/^open/);
      expect(await to("fd12:3456::1", 443)).toMatch(/^open/);
      for (const [host, port] of [
        ["10.99.0.2", 22],
        ["10.99.0.3", 5432],
        ["fd12:3456::1", 80],
        ["fd12:3457::1", 443],
        [publicIpv4, 443],
        ["169.254.169.254", 80],
      ] as const) {
        expect(await to(host, port), `${host} ${port}`).toBe("ECONNREFUSED");
      }
    });

    it("keeps metadata and other sandboxes closed when a rule names the private network around them", async () => {
      await using sandbox = await startSandbox(allow("100.64.0.0/10", "[fc00::/7]"));
      await using other = await startSandbox(internet);
      const to = (host: string) => sandbox.agent.try({ op: "tcp", host, port: 80 });
      expect(await to("100.64.9.2")).toMatch(/^open/);
      expect(await to("fd12:3456::1")).toMatch(/^open/);
      for (const host of ["100.100.100.200", "fd00:ec2::254", "fd20:ce::254", other.attachment.ipv6Address ?? ""]) {
        expect(await to(host), host).toBe("ECONNREFUSED");
      }
    });

    it("means the internet alone by a rule as wide as the world", async () => {
      await using sandbox = await startSandbox(allow("0.0.0.0/0:443", "[::/0]:443"));
      const to = (host: string, port: number) => sandbox.agent.try({ op: "tcp", host, port });
      expect(await to(publicIpv4, 443)).toMatch(/^open/);
      expect(await to(publicIpv6, 443)).toMatch(/^open/);
      for (const host of ["10.99.0.2", "169.254.169.254", "192.168.77.2", "fd99::1", "64:ff9b::a63:2"]) {
        expect(await to(host, 443), host).toBe("ECONNREFUSED");
      }
    });

    it.each(["169.254.169.254", "127.0.0.1/8:80", "[fe80::/10]", "[64:ff9b::/96]", "[fd00:ec2::254]", "198.18.0.0/16"])(
      "refuses the rule %s",
      async (rule) => {
        await expect(startSandbox(allow(rule))).rejects.toMatchObject({ reason: "policy" });
      },
    );

    it("closes the addresses that a closed host gets later, and cuts what is open to them", async () => {
      await using closing = new AsyncDisposableStack();
      let addresses: readonly string[] = [otherPublicIpv4];
      let now = Date.now();
      const clock = vi.spyOn(Date, "now").mockImplementation(() => now);
      closing.defer(() => clock.mockRestore());
      const moving = createEgressEngine({
        owner: ownerOf("moving"),
        networkNamespace: network.hostPath,
        upstreams,
        closedHosts: ["instance.example.com"],
        lookUp: async () => addresses,
      });
      closing.defer(() => moving.close());
      const sandbox = { sandboxId: "moving", policy: internet, onDenied: () => {}, signal };
      const attachment = closing.use(await moving.attachNamespace(sandbox));
      const agent = closing.use(await startAgent(attachment.namespacePath));
      expect(await agent.try({ op: "tcp", host: otherPublicIpv4, port: 443 })).toBe("ECONNREFUSED");
      expect(await agent.try({ op: "hold", name: "held", host: publicIpv4, port: 443 })).toBe("open");
      expect(await lookUp({ attachment, agent }, "public.example.com")).toEqual([`A ${publicIpv4}`]);

      addresses = [publicIpv4];
      now += 61_000;
      await expect
        .poll(() => agent.try({ op: "tcp", host: publicIpv4, port: 443 }), { timeout: 5000 })
        .toBe("ECONNREFUSED");
      expect(await agent.try({ op: "echo", name: "held" })).not.toMatch(/^open/);
      expect(await lookUp({ attachment, agent }, "public.example.com")).toEqual(["NOERROR"]);
      expect(await agent.try({ op: "tcp", host: otherPublicIpv4, port: 443 })).toBe("ECONNREFUSED");
    });

    it("opens nothing that the administrator closed", async () => {
      await using closing = new AsyncDisposableStack();
      const strict = createEgressEngine({
        owner: ownerOf("strict"),
        networkNamespace: network.hostPath,
        upstreams,
        closed: ["10.0.0.0/8", publicIpv4],
      });
      closing.defer(() => strict.close());
      const sandbox = { sandboxId: "strict", onDenied: () => {}, signal };
      await expect(strict.attachNamespace({ ...sandbox, policy: allow("10.99.0.2") })).rejects.toMatchObject({
        reason: "policy",
      });
      const attachment = closing.use(
        await strict.attachNamespace({ ...sandbox, policy: allow("0.0.0.0/0", "public.example.com") }),
      );
      const agent = closing.use(await startAgent(attachment.namespacePath));
      expect(await lookUp({ attachment, agent }, "public.example.com")).toEqual(["NOERROR"]);
      expect(await agent.try({ op: "tcp", host: publicIpv4, port: 443 })).toBe("ECONNREFUSED");
      expect(await agent.try({ op: "tcp", host: otherPublicIpv4, port: 443 })).toMatch(/^open/);
    });
  });

  describe("whatever happens", () => {
    it("cuts open connections that a stricter policy does not allow", async () => {
      await using sandbox = await startSandbox(internet);
      expect(await sandbox.agent.try({ op: "hold", name: "held", host: publicIpv4, port: 443 })).toBe("open");
      expect(await sandbox.agent.try({ op: "echo", name: "held" })).toMatch(/^open/);
      await sandbox.attachment.replacePolicy(allow("10.99.0.2"));
      expect(await sandbox.agent.try({ op: "echo", name: "held" })).not.toMatch(/^open/);
      expect(await sandbox.agent.try({ op: "tcp", host: publicIpv4, port: 443 })).toBe("ECONNREFUSED");
      expect(await lookUp(sandbox, "public.example.com")).toEqual(["REFUSED"]);
    });

    it("lets no sandbox fill the connection table that all share with the host", async () => {
      await using greedy = await startSandbox(internet);
      await using other = await startSandbox(internet);
      const count = async () => Number(await network.onHost("cat", "/proc/sys/net/netfilter/nf_conntrack_count"));
      await greedy.agent.ask({ op: "spread", hosts: [publicIpv4, otherPublicIpv4], ports: 10_000 });
      expect(await count()).toBeGreaterThan(8000);
      expect(await count()).toBeLessThan(9000);
      expect(await greedy.agent.try({ op: "tcp", host: publicIpv4, port: 443 })).not.toMatch(/^open/);
      expect(await other.agent.try({ op: "tcp", host: publicIpv4, port: 443 })).toMatch(/^open/);
    });

    it("is in force before the first packet", async () => {
      await using undo = new AsyncDisposableStack();
      const namespace = undo.use(await startNamespace());
      const agent = undo.use(await startAgent(namespace.path));
      await network.internet.ask({ op: "arrivals" });
      const flood = agent.ask({ op: "flood", hosts: ["10.99.0.2", publicIpv4], port: echoPort, forMs: 700 });
      const sandbox = { sandboxId: "first-packet", policy: internet, onDenied: () => {}, signal };
      undo.use(await engine.attachNamespace({ ...sandbox, namespacePath: namespace.path }));
      await flood;
      const arrived = new Set(await network.internet.ask({ op: "arrivals" }));
      expect([...arrived]).toEqual([expect.stringMatching(`^udp ${publicIpv4} <- 192.168.77.2`)]);
    });

    it("stays in force when the executor is killed, and is cleared away by the next one", async () => {
      await using undo = new AsyncDisposableStack();
      const program = `
        import { createEgressEngine } from ${JSON.stringify(new URL("./nftables-engine.ts", import.meta.url).href)};
        const engine = createEgressEngine(${JSON.stringify({ owner: ownerOf("crash"), networkNamespace: network.hostPath, upstreams })});
        const attachment = await engine.attachNamespace({
          sandboxId: "orphan", policy: { kind: "public" }, onDenied() {}, signal: new AbortController().signal,
        });
        console.log(JSON.stringify({ path: attachment.namespacePath, resolvConf: attachment.resolvConf }));
        setInterval(() => {}, 1000);
      `;
      const child = spawn(process.execPath, ["--input-type=module-typescript", "--eval", program], {
        stdio: ["ignore", "pipe", "inherit"],
      });
      const exited = once(child, "exit");
      const next = createEgressEngine({ owner: ownerOf("crash"), networkNamespace: network.hostPath, upstreams });
      undo.defer(async () => {
        child.kill("SIGKILL");
        await exited;
        await next.collect({ keep: new Set(), signal });
        await next.close();
      });
      const [line] = await Promise.race([once(child.stdout, "data"), exited.then(() => ["{}"])]);
      const { path, resolvConf } = JSON.parse(String(line)) as { path: string; resolvConf: string };
      const agent = undo.use(await startAgent(path));
      const attachment = { resolvConf } as NamespaceAttachment;
      expect(await lookUp({ attachment, agent }, "public.example.com")).toEqual([`A ${publicIpv4}`]);
      child.kill("SIGKILL");
      await exited;
      await sleep(200);

      expect(await agent.try({ op: "tcp", host: "10.99.0.2", port: 80 })).toBe("ECONNREFUSED");
      expect(await agent.try({ op: "tcp", host: "192.168.77.2", port: 9100 })).toBe("ECONNREFUSED");
      expect(await lookUp({ attachment, agent }, "public.example.com")).not.toContain(`A ${publicIpv4}`);

      expect(await next.collect({ keep: new Set(["orphan"]), signal })).toEqual([]);
      const removed = await next.collect({ keep: new Set(), signal });
      expect(removed).toEqual([
        expect.stringMatching(/^network link ak\w+ of sandbox orphan$/),
        expect.stringMatching(/^network namespace airlock-\w+-orphan$/),
      ]);
      expect(await leftovers(ownerOf("crash"))).toEqual([]);
    });

    it("is back within two seconds when someone flushes the host's rules, and nothing is open meanwhile for long", async () => {
      await using sandbox = await startSandbox(internet);
      await network.onHost("nft", "flush", "ruleset");
      await sleep(2000);
      expect(await sandbox.agent.try({ op: "tcp", host: "10.99.0.2", port: 80 })).toBe("ECONNREFUSED");
      expect(await sandbox.agent.try({ op: "tcp", host: publicIpv4, port: 80 })).toMatch(/^open/);
      expect(await lookUp(sandbox, "public.example.com")).toEqual([`A ${publicIpv4}`]);
    });

    it("goes on resolving with a new resolver when the old one dies", async () => {
      await using sandbox = await startSandbox(internet);
      const resolver = await resolverPid(network);
      process.kill(resolver, "SIGKILL");
      await expect
        .poll(() => lookUp(sandbox, "public.example.com"), { timeout: 10_000, interval: 200 })
        .toEqual([`A ${publicIpv4}`]);
      expect(await resolverPid(network)).not.toBe(resolver);
    });

    it("reads hostile packets in a process that may do nothing", async () => {
      await using _sandbox = await startSandbox(internet);
      const status = await readFile(`/proc/${await resolverPid(network)}/status`, "utf8");
      expect(status).toMatch(/^Uid:\t65534\t65534\t65534\t65534$/m);
      expect(status).toMatch(/^Gid:\t65534\t65534\t65534\t65534$/m);
      expect(status).toMatch(/^Groups:\t *$/m);
      expect(status).toMatch(/^CapPrm:\t0+$/m);
      expect(status).toMatch(/^CapEff:\t0+$/m);
      expect(status).toMatch(/^NoNewPrivs:\t1$/m);
    });

    it("says what it can't enforce without privileges, and attaches nothing then", async () => {
      const program = `
        import { createEgressEngine } from ${JSON.stringify(new URL("./nftables-engine.ts", import.meta.url).href)};
        const engine = createEgressEngine({ owner: "weak" });
        const sandbox = { sandboxId: "weak", policy: { kind: "public" }, onDenied() {}, signal: new AbortController().signal };
        const error = await engine.attachNamespace(sandbox).catch((error) => error);
        console.log(JSON.stringify({ ...(await engine.capabilities()), reason: error.reason }));
      `;
      const output = await runTool([
        ...["setpriv", "--bounding-set", "-all", "--inh-caps", "-all", process.execPath],
        ...["--input-type=module-typescript", "--eval", program],
      ]);
      expect(JSON.parse(output)).toMatchObject({
        public: false,
        allow: false,
        notes: [expect.stringContaining("can't be enforced")],
        reason: "policy",
      });
    });

    it("gives sandboxes no IPv6 where the host has no way out by it", async () => {
      await using undo = new AsyncDisposableStack();
      const other = undo.use(await startTestNetwork());
      await other.onHost("ip", "-6", "route", "delete", "default");
      const plain = createEgressEngine({ owner: ownerOf("v4"), networkNamespace: other.hostPath, upstreams });
      undo.defer(() => plain.close());
      const sandbox = { sandboxId: "v4-only", policy: internet, onDenied: () => {}, signal };
      const attachment = undo.use(await plain.attachNamespace(sandbox));
      const agent = undo.use(await startAgent(attachment.namespacePath));
      expect(attachment.ipv6Address).toBeNull();
      expect(await agent.try({ op: "tcp", host: publicIpv4, port: 80 })).toMatch(/^open/);
      expect(await agent.try({ op: "tcp", host: publicIpv6, port: 80 })).toBe("ENETUNREACH");
      const inside = await runTool(new HostNetwork(attachment.namespacePath).command("ip", "-6", "address", "show"));
      expect(inside).not.toContain("eth0");
    });

    it("reaches the internet over IPv6 alone where the host has no other way out", async () => {
      await using undo = new AsyncDisposableStack();
      const other = undo.use(await startTestNetwork());
      await other.onHost("ip", "-4", "route", "delete", "default");
      await other.internet.ask({ op: "name-server", address: nameServer, zones });
      // Forwarding for one interface only is newer than many kernels.
      await new HostNetwork(other.hostPath).writeSysctls({ "ipv6/conf/all/forwarding": "1" });
      const plain = createEgressEngine({ owner: ownerOf("v6"), networkNamespace: other.hostPath, upstreams });
      undo.defer(() => plain.close());
      const sandbox = { sandboxId: "v6-only", policy: internet, onDenied: () => {}, signal };
      const attachment = undo.use(await plain.attachNamespace(sandbox));
      const agent = undo.use(await startAgent(attachment.namespacePath));
      expect(await agent.try({ op: "tcp", host: publicIpv6, port: 443 })).toMatch(/^open/);
      expect(await lookUp({ attachment, agent }, "public.example.com", "AAAA")).toEqual([`AAAA ${publicIpv6}`]);
      expect(await agent.try({ op: "tcp", host: publicIpv4, port: 443 })).not.toMatch(/^open/);
      expect(await agent.try({ op: "tcp", host: "fd99::1", port: 443 })).toBe("ECONNREFUSED");
    });

    it("fits a bridge of a container engine with the same rules", async () => {
      await using undo = new AsyncDisposableStack();
      const denials: EgressDenial[] = [];
      const bridge = undo.use(
        await engine.prepareBridge({
          sandboxId: "bridged",
          policy: internet,
          onDenied: (denial) => denials.push(denial),
          signal,
        }),
      );
      const namespace = undo.use(await startNamespace());
      const host = new HostNetwork(network.hostPath);
      undo.defer(() => host.ip(`link delete ${bridge.bridgeName}\n`));
      await host.ip(`
link add ${bridge.bridgeName} type bridge
address add ${bridge.gateway}/29 dev ${bridge.bridgeName}
link set ${bridge.bridgeName} up
link add vethtest type veth peer name eth0 netns ${namespace.path}
link set vethtest master ${bridge.bridgeName} up
`);
      await bridge.activate();
      await new HostNetwork(namespace.path).ip(
        `address add ${bridge.address}/29 dev eth0\nlink set eth0 up\nroute add default via ${bridge.gateway}\n`,
      );
      const agent = undo.use(await startAgent(namespace.path));
      expect(await agent.try({ op: "tcp", host: publicIpv4, port: 80 })).toMatch(/^open/);
      const question = { op: "dns", server: bridge.gateway, name: "public.example.com", type: "A" } as const;
      expect(await agent.ask(question)).toEqual([`A ${publicIpv4}`]);
      for (const address of ["10.99.0.2", "169.254.169.254", "192.168.77.2", bridge.gateway]) {
        expect(await agent.try({ op: "tcp", host: address, port: 9100 }), address).toBe("ECONNREFUSED");
      }
      await bridge.reportDenied();
      expect(denials).toHaveLength(4);
    });

    it("turns off again the forwarding that it turned on, unless somebody else wants it by then", async () => {
      await using undo = new AsyncDisposableStack();
      const other = undo.use(await startTestNetwork());
      const forwarding = () => other.onHost("cat", "/proc/sys/net/ipv4/conf/tn0/forwarding");
      for (const [global, after] of [
        ["0", "0\n"],
        ["1", "1\n"],
      ] as const) {
        const own = createEgressEngine({ owner: ownerOf("forward"), networkNamespace: other.hostPath, upstreams });
        expect(await forwarding()).toBe("0\n");
        const sandbox = { sandboxId: "forwarding", policy: internet, onDenied: () => {}, signal };
        const attachment = await own.attachNamespace(sandbox);
        expect(await forwarding()).toBe("1\n");
        await new HostNetwork(other.hostPath).writeSysctls({ "ipv4/ip_forward": global });
        await attachment[Symbol.asyncDispose]();
        await own.close();
        expect(await forwarding()).toBe(after);
      }
    });

    it.each(["iptables", "iptables-legacy"])(
      "says what a firewall of the host needs that drops what it forwards, and works with that: %s",
      async (firewall) => {
        await using undo = new AsyncDisposableStack();
        const other = undo.use(await startTestNetwork());
        // As Docker leaves it.
        await other.onHost(firewall, "-P", "FORWARD", "DROP");
        const notesOf = async () => {
          const asking = createEgressEngine({ owner: ownerOf("asking"), networkNamespace: other.hostPath, upstreams });
          const { linkNotes } = await asking.capabilities();
          await asking.close();
          return linkNotes;
        };
        const own = createEgressEngine({ owner: ownerOf("walled"), networkNamespace: other.hostPath, upstreams });
        undo.defer(() => own.close());
        const sandbox = { sandboxId: "walled", policy: internet, onDenied: () => {}, signal };
        const attachment = undo.use(await own.attachNamespace(sandbox));
        const agent = undo.use(await startAgent(attachment.namespacePath));
        const reach = () => agent.try({ op: "tcp", host: publicIpv4, port: 443 });
        expect(await reach()).toBe("timeout");

        const [note = ""] = await notesOf();
        const commands = note.slice(note.indexOf(": ") + 2).split("; ");
        expect(commands).toHaveLength(2);
        for (const command of commands) await other.onHost(...command.split(" "));
        expect(await reach()).toMatch(/^open/);
        expect(await notesOf()).toEqual([]);
        // What is closed stays so.
        expect(await agent.try({ op: "tcp", host: "10.99.0.2", port: 443 })).toBe("ECONNREFUSED");
      },
    );

    it("leaves nothing behind when it is canceled half-way", async () => {
      const own = createEgressEngine({ owner: ownerOf("cancel"), networkNamespace: network.hostPath, upstreams });
      const controller = new AbortController();
      const attaching = own.attachNamespace({
        sandboxId: "canceled",
        policy: internet,
        onDenied: () => {},
        signal: controller.signal,
      });
      await own.capabilities();
      controller.abort(new Error("no longer wanted"));
      await expect(attaching).rejects.toThrow("no longer wanted");
      await own.close();
      expect(await leftovers(ownerOf("cancel"))).toEqual([]);
    });

    it("leaves nothing behind at the end", async () => {
      const own = createEgressEngine({ owner: ownerOf("end"), networkNamespace: network.hostPath, upstreams });
      const sandboxes = await Promise.all(
        ["one", "two", "three"].map((sandboxId) =>
          own.attachNamespace({ sandboxId, policy: internet, onDenied: () => {}, signal }),
        ),
      );
      expect(await leftovers(ownerOf("end"))).toHaveLength(7);
      await Promise.all(sandboxes.map((sandbox) => sandbox[Symbol.asyncDispose]()));
      await own.close();
      expect(await leftovers(ownerOf("end"))).toEqual([]);
    });
  });

  async function leftovers(name: string): Promise<readonly string[]> {
    const { interfacePrefix, namespacePrefix, table } = ownerNames(name);
    const links = await network.onHost("ip", "-brief", "link", "show");
    const tables = await network.onHost("nft", "list", "tables");
    return [
      ...links.split("\n").filter((line) => line.startsWith(interfacePrefix)),
      ...(await readdir("/run/netns")).filter((file) => file.startsWith(namespacePrefix)),
      ...tables.split("\n").filter((line) => line.endsWith(table)),
    ];
  }
});

/** Of the one resolver that answers in the host's namespace. */
async function resolverPid(network: TestNetwork): Promise<number> {
  const sockets = await network.onHost("ss", "-H", "-lntp");
  const pids = [...sockets.matchAll(/^.*198\.\d+\.\d+\.\d+:6\d{4} .*pid=(\d+)/gm)].map(([, pid]) => Number(pid));
  expect(new Set(pids).size).toBe(1);
  return pids[0] ?? 0;
}
