import { describeWithEngines } from "@airlock/test-kit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { HostNetwork } from "./host/host-network.ts";
import { runTool } from "./host/run-tool.ts";
import {
  allow,
  type EgressWorld,
  gatewayOf,
  internet,
  lookUp,
  startEgressWorld,
  startSandbox,
} from "./testing/egress-world.ts";
import { echoPort, otherPublicIpv4, publicIpv4 } from "./testing/test-network.ts";

/** One sandbox's share of a connection table of this machine's size, with a margin for the test itself. */
const share = 8192 + 300;
const many = (prefix: string) => Array.from({ length: 200 }, (_, index) => `${prefix}${index + 1}`);

describeWithEngines(["network"], "the host's connection table", () => {
  let world: EgressWorld;
  beforeAll(async () => {
    world = await startEgressWorld("table");
  });
  afterAll(() => world?.[Symbol.asyncDispose]());

  async function used(): Promise<number> {
    return Number(await world.network.onHost("cat", "/proc/sys/net/netfilter/nf_conntrack_count"));
  }

  /** Checks that the instance and the executor, which share the table with the sandboxes, can still connect. */
  async function expectOthersToWork(): Promise<void> {
    await using other = await world.startSandbox(internet);
    expect(await other.agent.try({ op: "tcp", host: publicIpv4, port: 443 })).toMatch(/^open/);
    expect(await lookUp(other, "public.example.com")).toEqual([`A ${publicIpv4}`]);
    expect(await world.network.host.try({ op: "tcp", host: publicIpv4, port: 443 })).toMatch(/^open/);
    expect(await world.uncontrolled.try({ op: "tcp", host: "192.168.77.2", port: 9100 })).toMatch(/^open/);
  }

  describe("is not filled by one sandbox", () => {
    it.each([
      ["over IPv4", many("45.45.1.")],
      ["over IPv6", many("2a00:1450::1:")],
    ])(
      "that opens and closes connections %s",
      async (_, hosts) => {
        const before = await used();
        await using greedy = await world.startSandbox(internet);

        const opened = await greedy.agent.try({ op: "churn", hosts, port: 443, connections: 12_000 });

        expect(Number(opened)).toBeGreaterThan(1000);
        expect((await used()) - before).toBeLessThan(share);
        await expectOthersToWork();
      },
      60_000,
    );

    it("that sends datagrams to many ports", async () => {
      const before = await used();
      await using greedy = await world.startSandbox(internet);

      await greedy.agent.ask({ op: "spread", hosts: [publicIpv4, otherPublicIpv4], ports: 10_000 });

      expect((await used()) - before).toBeGreaterThan(1000);
      expect((await used()) - before).toBeLessThan(share);
      await expectOthersToWork();
    }, 60_000);

    it("that opens and closes connections to its name server", async () => {
      const before = await used();
      await using greedy = await world.startSandbox(internet);

      await greedy.agent.ask({ op: "churn", hosts: [gatewayOf(greedy.attachment)], port: 53, connections: 6000 });

      expect((await used()) - before).toBeLessThan(share / 4);
      await greedy.attachment.reportDenied();
      expect(greedy.denials).toContainEqual({ kind: "limit", limit: "look-ups" });
      await expectOthersToWork();
    }, 60_000);

    it("that sends what its policy refuses, over any protocol", async () => {
      await using greedy = await world.startSandbox(allow("public.example.com:443"));
      const before = await used();

      await greedy.agent.ask({ op: "spread", hosts: [publicIpv4], ports: 3000 });
      await greedy.agent.ask({ op: "churn", hosts: many("45.45.2."), port: 443, connections: 3000 });
      const ping = (host: string) =>
        runTool(
          new HostNetwork(greedy.attachment.namespacePath).command("ping", "-c", "3", "-i", "0.2", "-W", "1", host),
        );
      await Promise.allSettled(many("45.45.3.").slice(0, 20).map(ping));

      expect((await used()) - before).toBeLessThan(300);
    }, 60_000);
  });

  it("has free entries again as soon as a job ends that leaves connections open", async () => {
    const before = await used();
    {
      await using greedy = await world.startSandbox(internet);
      // The link goes down before the connections could be closed normally.
      for (let index = 0; index < 200; index += 1) {
        expect(await greedy.agent.try({ op: "hold", name: `${index}`, host: publicIpv4, port: echoPort })).toBe("open");
      }
      expect((await used()) - before).toBeGreaterThanOrEqual(200);
      await new HostNetwork(world.network.hostPath).ip(`link set ${await linkOf(greedy.attachment.address)} down\n`);
    }
    expect((await used()) - before).toBeLessThan(100);
  }, 60_000);

  it("limits the simultaneous connections of a sandbox, and reports the limit to the job", async () => {
    await using undo = new AsyncDisposableStack();
    const connectionTable = async () => ({ size: 16_384, used: 0, closedSeconds: 120 });
    const engine = world.makeEngine("small-table", { connectionTable });
    undo.defer(() => engine.close());
    const greedy = undo.use(await startSandbox(engine, "greedy", internet));
    const results: string[] = [];
    let begun = 0;
    const openMore = async () => {
      const names = Array.from({ length: 50 }, () => `held-${++begun}`);
      const request = { op: "hold", host: publicIpv4, port: echoPort } as const;
      results.push(...(await Promise.all(names.map((name) => greedy.agent.try({ ...request, name })))));
      await greedy.attachment.reportDenied();
      return greedy.denials;
    };
    const reached = { kind: "limit", limit: "open-connections" };
    await expect.poll(openMore, { timeout: 60_000 }).toContainEqual(reached);
    expect(results.filter((result) => result === "open").length).toBeLessThanOrEqual(256);
    expect(results).toContain("ECONNREFUSED");
    expect(await greedy.agent.try({ op: "echo", name: "held-1" })).toMatch(/^open/);
  }, 90_000);

  it("keeps a quarter free for the host: new connections of all sandboxes wait when it is nearly full", async () => {
    await using undo = new AsyncDisposableStack();
    const problems: string[] = [];
    const size = 262_144;
    let used = 100;
    const engine = world.makeEngine("full-table", {
      connectionTable: async () => ({ size, used, closedSeconds: 120 }),
      onProblem: (problem) => problems.push(problem),
    });
    undo.defer(() => engine.close());
    const sandbox = undo.use(await startSandbox(engine, "waiting", internet));
    const reach = () => sandbox.agent.try({ op: "tcp", host: publicIpv4, port: 443 });
    expect(await sandbox.agent.try({ op: "hold", name: "held", host: publicIpv4, port: echoPort })).toBe("open");
    expect(await reach()).toMatch(/^open/);

    used = size * 0.8;
    await expect.poll(() => problems, { timeout: 20_000 }).toEqual([expect.stringContaining("nearly full")]);
    expect(await reach()).toBe("timeout");
    expect(await lookUp(sandbox, "public.example.com")).toEqual(["timeout"]);
    expect(await sandbox.agent.try({ op: "echo", name: "held" })).toMatch(/^open/);
    expect(await world.network.host.try({ op: "tcp", host: publicIpv4, port: 443 })).toMatch(/^open/);

    // The restored rules must still pause new connections.
    await world.network.onHost("nft", "flush", "ruleset");
    await expect.poll(() => problems, { timeout: 20_000 }).toContainEqual(expect.stringContaining("restored"));
    expect(await reach()).toBe("timeout");

    used = size * 0.5;
    await expect.poll(() => problems.at(-1), { timeout: 20_000 }).toContain("has room again");
    expect(await reach()).toMatch(/^open/);
    expect(await lookUp(sandbox, "public.example.com")).toEqual([`A ${publicIpv4}`]);
  }, 90_000);

  async function linkOf(address: string): Promise<string> {
    const route = await world.network.onHost("ip", "route", "get", address);
    return /dev (\S+)/.exec(route)?.[1] ?? "";
  }
});
