import { setTimeout as sleep } from "node:timers/promises";
import { describeWithEngines } from "@airlock/test-kit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  type EgressWorld,
  gatewayOf,
  internet,
  lookUp,
  startEgressWorld,
  type WorldSandbox,
} from "./testing/egress-world.ts";
import { publicIpv4, publicIpv6 } from "./testing/test-network.ts";

describeWithEngines(["network"], "egress engine", () => {
  let world: EgressWorld;
  beforeAll(async () => {
    world = await startEgressWorld("names");
  });
  afterAll(() => world?.[Symbol.asyncDispose]());

  describe("for names under the policy public", () => {
    let sandbox: WorldSandbox;
    beforeAll(async () => {
      sandbox = await world.startSandbox(internet);
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
    ])("removes closed addresses and unrelated records from the answer for %s", async (name, type, answer) => {
      expect(await lookUp(sandbox, name, type)).toEqual(answer);
    });

    it("does not allow a name that resolves to a private address the second time (DNS rebinding)", async () => {
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
    ])("sends no query upstream for %s %s", async (name, type) => {
      await world.network.internet.ask({ op: "questions" });
      const [answer] = await lookUp(sandbox, name, type);
      expect(answer).toMatch(/NXDOMAIN|REFUSED|NOERROR/);
      expect(await world.network.internet.ask({ op: "questions" })).toEqual([]);
    });

    it("survives packets that are not DNS queries", async () => {
      const server = gatewayOf(sandbox.attachment);
      const header = "12670100000100000000";
      const packets = [
        "00",
        "ff".repeat(600),
        "126701000001000000000000", // a missing question
        `${header}0000c00c00010001`, // a name that points to itself
        "12670100ffffffffffffffff", // 65535 records of every kind
        `${header}00003f${"61".repeat(63)}3f${"61".repeat(63)}3f${"61".repeat(63)}3f${"61".repeat(63)}0000010001`,
        "126781800001000000000000", // a response
      ];
      // Each packet is answered or times out, so all of them arrive before the final question.
      await Promise.all(packets.map((hex) => sandbox.agent.try({ op: "raw-dns", server, hex })));
      expect(await lookUp(sandbox, "public.example.com")).toEqual([`A ${publicIpv4}`]);
    });

    it("limits how many bytes a sandbox can send out in queried names", async () => {
      await using other = await world.startSandbox(internet);
      await world.network.internet.ask({ op: "questions" });
      const label = "x".repeat(55);
      const answers = await Promise.all(
        Array.from({ length: 60 }, (_, index) =>
          sleep(index * 5).then(() => lookUp(other, `${label}${index}.${label}.${label}.tunnel.example.org`)),
        ),
      );
      const carried = (await world.network.internet.ask({ op: "questions" })).join("").length;
      expect(answers.filter(([answer]) => answer === "REFUSED").length).toBeGreaterThan(5);
      expect(carried).toBeLessThan(10_000);
      expect(other.denials).toEqual([
        { kind: "name", name: expect.stringContaining("tunnel.example.org"), isOverLimit: true },
      ]);
    });
  });
});
