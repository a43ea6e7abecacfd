import { describeWithEngines } from "@airlock/test-kit";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { ownerNames } from "./host/names.ts";
import { startAgent } from "./testing/agent.ts";
import { allow, type EgressWorld, internet, lookUp, signal, startEgressWorld } from "./testing/egress-world.ts";
import { otherPublicIpv4, publicIpv4, publicIpv6 } from "./testing/test-network.ts";

describeWithEngines(["network"], "egress engine", () => {
  let world: EgressWorld;
  beforeAll(async () => {
    world = await startEgressWorld("allow");
  });
  afterAll(() => world?.[Symbol.asyncDispose]());

  describe("under an allow-list", () => {
    it("lets a sandbox reach a name's addresses on the rule's port, and only after it looked the name up", async () => {
      await using sandbox = await world.startSandbox(allow("public.example.com:443", "*.example.org:80"));
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

    it("opens every port of a name whose rule has no port, except for DNS to other name servers", async () => {
      await using sandbox = await world.startSandbox(allow("public.example.com"));
      await lookUp(sandbox, "public.example.com");
      for (const port of [22, 5432]) {
        expect(await sandbox.agent.try({ op: "tcp", host: publicIpv4, port })).toMatch(/^open/);
      }
      for (const port of [53, 853]) {
        expect(await sandbox.agent.try({ op: "tcp", host: publicIpv4, port })).toBe("ECONNREFUSED");
      }
    });

    it("does not open an address because another sandbox looked its name up before", async () => {
      await using one = await world.startSandbox(allow("public.example.com"));
      await using two = await world.startSandbox(allow("public.example.com"));
      await lookUp(one, "public.example.com");
      expect(await two.agent.try({ op: "tcp", host: publicIpv4, port: 443 })).toBe("ECONNREFUSED");
    });

    it("follows aliases, whatever their names are", async () => {
      await using sandbox = await world.startSandbox(allow("alias.example.com:443"));
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
    ])("sends no query upstream for %s %s", async (name, type, answer) => {
      await using sandbox = await world.startSandbox(allow("public.example.com:443", "*.sub.example.org"));
      await world.network.internet.ask({ op: "questions" });
      expect(await lookUp(sandbox, name, type)).toEqual([answer]);
      expect(await world.network.internet.ask({ op: "questions" })).toEqual([]);
    });

    it("opens no private address that an allowed name resolves to", async () => {
      await using sandbox = await world.startSandbox(allow("private.example.com", "poison.example.com:443"));
      expect(await lookUp(sandbox, "private.example.com")).toEqual(["NOERROR"]);
      expect(await sandbox.agent.try({ op: "tcp", host: "10.99.0.2", port: 443 })).toBe("ECONNREFUSED");
      expect(sandbox.denials).toContainEqual({ kind: "name", name: "private.example.com" });
      await lookUp(sandbox, "poison.example.com");
      expect(await sandbox.agent.try({ op: "tcp", host: otherPublicIpv4, port: 443 })).toBe("ECONNREFUSED");
    });

    it("keeps an open connection after its name has expired, and allows no new one", async () => {
      await using sandbox = await world.startSandbox(allow("public.example.com:443"));
      await lookUp(sandbox, "public.example.com");
      const held = await sandbox.agent.try({ op: "hold", name: "held", host: publicIpv4, port: 443 });
      expect(held).toBe("open");
      const { table } = ownerNames(world.owner);
      const pins = [...(await world.network.onHost("nft", "list", "table", "inet", table)).matchAll(/set (p4_\d+) /g)];
      for (const [, set] of pins) await world.network.onHost("nft", "flush", "set", "inet", table, set ?? "");

      expect(await sandbox.agent.try({ op: "echo", name: "held" })).toMatch(/^open/);
      expect(await sandbox.agent.try({ op: "tcp", host: publicIpv4, port: 443 })).toBe("ECONNREFUSED");
    });

    it("opens an address again when its name is looked up again", async () => {
      await using sandbox = await world.startSandbox(allow("public.example.com:443"));
      for (let time = 0; time < 3; time += 1) {
        expect(await lookUp(sandbox, "public.example.com")).toEqual([`A ${publicIpv4}`]);
      }
      expect(await sandbox.agent.try({ op: "tcp", host: publicIpv4, port: 443 })).toMatch(/^open/);
    });

    it("opens a private range that a rule names, on its port only", async () => {
      await using sandbox = await world.startSandbox(allow("10.99.0.2/32:5432", "[fd12:3456::/64]:443"));
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

    it("keeps metadata and other sandboxes closed when a rule names the private network that contains them", async () => {
      await using sandbox = await world.startSandbox(allow("100.64.0.0/10", "[fc00::/7]"));
      await using other = await world.startSandbox(internet);
      const to = (host: string) => sandbox.agent.try({ op: "tcp", host, port: 80 });
      expect(await to("100.64.9.2")).toMatch(/^open/);
      expect(await to("fd12:3456::1")).toMatch(/^open/);
      for (const host of ["100.100.100.200", "fd00:ec2::254", "fd20:ce::254", other.attachment.ipv6Address ?? ""]) {
        expect(await to(host), host).toBe("ECONNREFUSED");
      }
    });

    it("opens only the internet for a rule that covers all addresses", async () => {
      await using sandbox = await world.startSandbox(allow("0.0.0.0/0:443", "[::/0]:443"));
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
        await expect(world.startSandbox(allow(rule))).rejects.toMatchObject({ reason: "policy" });
      },
    );

    it("closes addresses that a closed host gets later, and cuts open connections to them", async () => {
      await using closing = new AsyncDisposableStack();
      let addresses: readonly string[] = [otherPublicIpv4];
      let now = Date.now();
      const clock = vi.spyOn(Date, "now").mockImplementation(() => now);
      closing.defer(() => clock.mockRestore());
      const moving = world.makeEngine("moving", {
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
      // Each attachment begins with a lookup. Newly closed addresses are closed for all sandboxes before the attachment
      // is ready.
      closing.use(await moving.attachNamespace({ ...sandbox, sandboxId: "moving-next" }));
      expect(await agent.try({ op: "tcp", host: publicIpv4, port: 443 })).toBe("ECONNREFUSED");
      expect(await agent.try({ op: "echo", name: "held" })).not.toMatch(/^open/);
      expect(await lookUp({ attachment, agent }, "public.example.com")).toEqual(["NOERROR"]);
      expect(await agent.try({ op: "tcp", host: otherPublicIpv4, port: 443 })).toBe("ECONNREFUSED");

      // Without a new attachment, the same happens within about a second.
      expect(await lookUp({ attachment, agent }, "other.example.org")).toEqual(["NOERROR"]);
      expect(await agent.try({ op: "tcp", host: "48.48.48.48", port: 443 })).toMatch(/^open/);
      addresses = ["48.48.48.48"];
      now += 61_000;
      await expect
        .poll(() => agent.try({ op: "tcp", host: "48.48.48.48", port: 443 }), { timeout: 20_000 })
        .toBe("ECONNREFUSED");
    });

    it("opens nothing that the administrator closed", async () => {
      await using closing = new AsyncDisposableStack();
      const strict = world.makeEngine("strict", {
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
});
