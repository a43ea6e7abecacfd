import { type AllowRule, parseAllowRule } from "@airlock/job";
import { describe, expect, it } from "vitest";
import { formatRange, parseRange } from "../addresses/ip-range.ts";
import { compilePolicy } from "./compile-policy.ts";

function compile(rules: readonly string[], closed: readonly string[] = []) {
  const policy = compilePolicy(
    { kind: "allow", rules: rules.map((text) => parseAllowRule(text) as AllowRule) },
    closed.map(parseRange),
  );
  if (policy.kind !== "allow") throw new Error("not an allow-list");
  const texts = (each: readonly { range: Parameters<typeof formatRange>[0]; port: number | null }[]) =>
    each.map(({ range, port }) => `${formatRange(range)} ${port ?? "any"}`);
  return { private: texts(policy.privateRanges), public: texts(policy.publicRanges), names: policy.names };
}

describe("compilePolicy", () => {
  it("distinguishes rules that open private addresses from rules wider than any special range", () => {
    expect(
      compile(["10.1.2.3:5432", "10.0.0.0/8", "8.8.8.8", "0.0.0.0/0:443", "9.0.0.0/7", "[fd12::/16]", "[2000::/3]:80"]),
    ).toEqual({
      private: ["10.1.2.3 5432", "10.0.0.0/8 any", "fd12:0:0:0:0:0:0:0/16 any"],
      // 9.0.0.0/7 is normalized to 8.0.0.0/7, which does not contain 10.0.0.0/8.
      public: ["8.8.8.8 any", "0.0.0.0/0 443", "8.0.0.0/7 any", "2000:0:0:0:0:0:0:0/3 80"],
      names: [],
    });
  });

  it("passes names on to the resolver", () => {
    expect(compile(["*.example.org", "example.com:443"]).names).toEqual([
      { name: "example.org", subdomains: true, port: null },
      { name: "example.com", subdomains: false, port: 443 },
    ]);
  });

  it.each([["169.254.169.254"], ["127.0.0.0/8"], ["224.0.0.1"], ["[::1]"], ["[2002:a00::/24]"], ["10.9.0.0/16"]])(
    "refuses a rule that covers only closed addresses: %s",
    (rule) => {
      expect(() => compile([rule], ["10.9.0.0/16"])).toThrow(expect.objectContaining({ reason: "policy" }));
    },
  );
});
