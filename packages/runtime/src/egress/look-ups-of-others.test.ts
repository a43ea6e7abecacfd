import { readFile } from "node:fs/promises";
import { describeWithEngines } from "@airlock/test-kit";
import { afterAll, beforeAll, expect, it } from "vitest";
import {
  allow,
  type EgressWorld,
  gatewayOf,
  internet,
  lookUp,
  startEgressWorld,
  startSandbox,
  type WorldSandbox,
} from "./testing/egress-world.ts";
import { resolverPid } from "./testing/resolver-pid.ts";
import { publicIpv4 } from "./testing/test-network.ts";

describeWithEngines(["network"], "name look-ups of one sandbox", () => {
  let world: EgressWorld;
  beforeAll(async () => {
    world = await startEgressWorld("look-ups");
  });
  afterAll(() => world?.[Symbol.asyncDispose]());

  /** Repeats lookups, with `atOnce` requests at the same time. */
  function keepAsking({ attachment, agent }: WorldSandbox, name: string, atOnce: number) {
    const request = { op: "look-ups", server: gatewayOf(attachment), name, count: 15 } as const;
    return Promise.all(Array.from({ length: atOnce }, () => agent.ask(request)));
  }

  it("that open too many addresses and ports do not disturb those of another sandbox", async () => {
    const ports = Array.from({ length: 200 }, (_, port) => `wide.example.org:${port + 301}`);
    await using greedy = await world.startSandbox(allow(...ports));
    await using other = await world.startSandbox(allow("public.example.com:443"));

    const flood = keepAsking(greedy, "wide.example.org", 16);
    const answers = await keepAsking(other, "public.example.com", 1);
    const own = await flood;

    expect(answers).toEqual([[`15 × A ${publicIpv4}`]]);
    expect(await other.agent.try({ op: "tcp", host: publicIpv4, port: 443 })).toMatch(/^open/);
    // The greedy sandbox's own lookups also work, with some of the addresses.
    expect(own.flat().join()).not.toContain("SERVFAIL");
    expect(await greedy.agent.try({ op: "tcp", host: "45.46.0.0", port: 443 })).toMatch(/^open/);
    expect(await greedy.agent.try({ op: "tcp", host: "45.46.0.31", port: 443 })).toBe("ECONNREFUSED");
  }, 60_000);

  it("fail when they would open too many addresses, and both the job and the operator are told", async () => {
    await using undo = new AsyncDisposableStack();
    const problems: string[] = [];
    const engine = world.makeEngine("full", { onProblem: (problem) => problems.push(problem) });
    undo.defer(() => engine.close());
    const ports = Array.from({ length: 1000 }, (_, port) => `*.rooms.example.org:${port + 1}`);
    const greedy = undo.use(await startSandbox(engine, "hoarder", allow(...ports)));
    const other = undo.use(await startSandbox(engine, "modest", allow("public.example.com:443")));

    const names = Array.from({ length: 6 }, (_, room) => `${room}.rooms.example.org`);
    const answers: string[] = [];
    for (const name of names) answers.push(...(await lookUp(greedy, name)).slice(0, 1));

    expect(answers).toEqual([...["0", "1", "2", "3"].map((room) => `A 45.47.0.${room}`), "SERVFAIL", "SERVFAIL"]);
    expect(greedy.denials).toEqual([{ kind: "name", name: "4.rooms.example.org", isOverLimit: true }]);
    expect(problems).toEqual([expect.stringMatching(/^sandbox hoarder opens more addresses by name/)]);
    expect(await lookUp(other, "public.example.com")).toEqual([`A ${publicIpv4}`]);
    expect(await lookUp(greedy, "0.rooms.example.org")).toEqual(["A 45.47.0.0"]);
  }, 60_000);

  it("cost a bounded amount of processor time, whatever the sandbox sends", async () => {
    await using greedy = await world.startSandbox(internet);
    await using other = await world.startSandbox(internet);
    const resolver = await resolverPid(world.network);
    const before = await processorSeconds(resolver);
    const startedAt = performance.now();

    await greedy.agent.ask({
      op: "flood",
      hosts: [gatewayOf(greedy.attachment)],
      port: 53,
      atOnce: 50,
      name: "printer.local",
    });
    const answers = await keepAsking(other, "public.example.com", 1);
    // Long enough to use up the saved budget.
    await expect.poll(() => performance.now() - startedAt, { timeout: 30_000 }).toBeGreaterThan(5000);
    await greedy.agent.ask({ op: "end-flood" });

    const seconds = (performance.now() - startedAt) / 1000;
    expect(answers).toEqual([[`15 × A ${publicIpv4}`]]);
    const used = (await processorSeconds(resolver)) - before;
    expect(used).toBeLessThan(seconds * 0.1);
    await expect.poll(() => greedy.denials).toContainEqual({ kind: "limit", limit: "look-ups" });
  }, 60_000);
});

/** Processor time of a process in seconds. */
async function processorSeconds(pid: number): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, "utf8");
  const [userTicks = 0, systemTicks = 0] = stat.slice(stat.lastIndexOf(")")).split(" ").slice(12, 14).map(Number);
  return (userTicks + systemTicks) / 100;
}
