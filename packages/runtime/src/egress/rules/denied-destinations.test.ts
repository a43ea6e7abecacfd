import { describe, expect, it } from "vitest";
import type { EgressDenial } from "../../contract/index.ts";
import { DenialReporter, parseDenied } from "./denied-destinations.ts";

describe("parseDenied", () => {
  it("reads only the sets of denied destinations", () => {
    const listing = {
      nftables: [
        { metainfo: { version: "1.0.6" } },
        { set: { name: "forbidden4", elem: [{ prefix: { addr: "0.0.0.0", len: 8 } }] } },
        { set: { name: "d4_7", elem: [{ elem: { val: { concat: ["10.0.0.1", "tcp", 80] }, expires: 300 } }] } },
        { set: { name: "d6_7", elem: [{ elem: { val: { concat: ["fd00::1", "udp", 53] }, expires: 1 } }] } },
        { set: { name: "d4_8" } },
      ],
    };
    expect([...parseDenied(listing)]).toEqual([
      [
        7,
        [
          { kind: "connection", address: "10.0.0.1", port: 80, protocol: "tcp" },
          { kind: "connection", address: "fd00::1", port: 53, protocol: "udp" },
        ],
      ],
      [8, []],
    ]);
  });
});

describe("DenialReporter", () => {
  it("reports each denial once and stops at its limit", () => {
    const told: EgressDenial[] = [];
    const reporter = new DenialReporter((denial) => told.push(denial), 3);
    for (const name of ["a.example", "b.example", "a.example", "c.example", "d.example"]) {
      reporter.add({ kind: "name", name });
    }
    expect(told).toEqual(["a.example", "b.example", "c.example"].map((name) => ({ kind: "name", name })));
  });
});
