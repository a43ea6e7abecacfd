import type { Answer } from "dns-packet";
import { describe, expect, it } from "vitest";
import { specialRanges } from "../addresses/special-ranges.ts";
import { filterAnswer } from "./answer-filter.ts";

const a = (name: string, data: string, ttl = 60): Answer => ({ type: "A", name, data, ttl });
const cname = (name: string, data: string): Answer => ({ type: "CNAME", name, data, ttl: 60 });

function filter(name: string, ...answers: readonly Answer[]) {
  const { answers: kept, addresses, hadClosed } = filterAnswer({ name, type: "A" }, answers, specialRanges);
  return { kept: kept.length, addresses: addresses.map(({ address }) => address), hadClosed };
}

describe("filterAnswer", () => {
  it("accepts the address at the end of a chain of aliases, in any order of the records", () => {
    const answers = [a("c.example", "8.8.8.8"), cname("B.example", "c.example."), cname("a.example", "b.example")];
    expect(filter("a.example", ...answers)).toEqual({ kept: 3, addresses: ["8.8.8.8"], hadClosed: false });
  });

  it("drops addresses of names that the alias chain does not lead to", () => {
    const answers = [a("a.example", "8.8.8.8"), a("bank.example", "9.9.9.9"), cname("x.example", "a.example")];
    expect(filter("a.example", ...answers)).toEqual({ kept: 1, addresses: ["8.8.8.8"], hadClosed: false });
  });

  it("terminates on aliases that form a circle", () => {
    const answers = [
      cname("a.example", "b.example"),
      cname("b.example", "c.example"),
      cname("c.example", "b.example"),
      a("d.example", "8.8.8.8"),
    ];
    expect(filter("a.example", ...answers).addresses).toEqual([]);
  });

  it("removes closed addresses and reports them", () => {
    const answers = ["10.0.0.1", "8.8.8.8", "169.254.169.254"].map((address) => a("a.example", address));
    expect(filter("a.example", ...answers)).toEqual({ kept: 1, addresses: ["8.8.8.8"], hadClosed: true });
  });

  it("limits how many records it passes on, and how long they live", () => {
    const answers = Array.from({ length: 200 }, (_, index) => a("a.example", `8.8.8.${index}`, 1 << 30));
    const { answers: kept, addresses } = filterAnswer({ name: "a.example", type: "A" }, answers, specialRanges);
    expect(kept).toHaveLength(32);
    expect(addresses[0]?.ttl).toBe(3600);
  });
});
