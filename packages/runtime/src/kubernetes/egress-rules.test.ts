import { type AllowRule, parseAllowRule } from "@airlock/job";
import { describe, expect, it } from "vitest";
import { parseRange } from "../egress/addresses/ip-range.ts";
import { compilePolicy } from "../egress/policy/compile-policy.ts";
import { egressRules, type OpenedAddresses } from "./egress-rules.ts";

function rulesOf(rules: readonly string[], closed: readonly string[] = [], opened: readonly OpenedAddresses[] = []) {
  const ranges = closed.map(parseRange);
  const policy = compilePolicy(
    { kind: "allow", rules: rules.map((text) => parseAllowRule(text) as AllowRule) },
    ranges,
  );
  return egressRules(policy, ranges, opened);
}

const ports = (...numbers: readonly number[]) =>
  ["TCP", "UDP"].flatMap((protocol) => numbers.map((port) => ({ protocol, port })));

describe("the rules of a pod's NetworkPolicy", () => {
  it("open nothing for the policy none and for an allow-list of names", () => {
    expect(egressRules(null, [])).toEqual([]);
    expect(rulesOf(["example.com:443"])).toEqual([]);
  });

  it("open the internet without private, special and closed addresses, and without ports of DNS", () => {
    const [rule, ...others] = egressRules({ kind: "public" }, ["203.0.114.0/24", "10.5.0.0/16"].map(parseRange));

    expect(others).toEqual([]);
    expect(rule?.to?.map(({ ipBlock }) => ipBlock?.cidr)).toEqual(["0.0.0.0/0", "2000::/3"]);
    const [ipv4, ipv6] = rule?.to?.map(({ ipBlock }) => ipBlock?.except) ?? [];
    expect(ipv4).toEqual(
      expect.arrayContaining(["10.0.0.0/8", "100.64.0.0/10", "169.254.0.0/16", "203.0.114.0/24", "168.63.129.16/32"]),
    );
    // Part of 10.0.0.0/8.
    expect(ipv4).not.toContain("10.5.0.0/16");
    expect(new Set(ipv4).size).toBe(ipv4?.length);
    expect(ipv6).toEqual(["2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20"]);
    const isOpen = (port: number) =>
      rule?.ports?.some(({ port: first, endPort = first }) => Number(first) <= port && port <= Number(endPort));
    expect([1, 52, 53, 54, 443, 852, 853, 854, 65_535].filter((port) => !isOpen(port))).toEqual([53, 853]);
    expect(new Set(rule?.ports?.map(({ protocol }) => protocol))).toEqual(new Set(["TCP", "UDP"]));
  });

  it("open listed addresses without what stays closed in them", () => {
    expect(rulesOf(["10.1.2.3:5432", "10.0.0.0/8:80", "[fd12::/64]:443"], ["10.244.0.0/16"])).toEqual([
      { to: [{ ipBlock: { cidr: "10.1.2.3/32" } }], ports: ports(5432) },
      { to: [{ ipBlock: { cidr: "10.0.0.0/8", except: ["10.244.0.0/16"] } }], ports: ports(80) },
      { to: [{ ipBlock: { cidr: "fd12::/64" } }], ports: ports(443) },
    ]);
    const [{ to } = {}] = rulesOf(["0.0.0.0/0:443"]);
    expect(to?.[0]?.ipBlock?.except).toEqual(expect.arrayContaining(["10.0.0.0/8", "169.254.0.0/16"]));
  });

  it("open the addresses of names, but no closed address and no port of DNS", () => {
    const opened = [
      { addresses: ["45.45.45.45", "10.1.2.3", "46.46.46.46"], ports: [443, 53] },
      { addresses: ["169.254.169.254"], ports: null },
      { addresses: ["47.47.47.47"], ports: [853] },
    ];

    expect(rulesOf(["example.com:443"], ["46.46.0.0/16"], opened)).toEqual([
      { to: [{ ipBlock: { cidr: "45.45.45.45/32" } }], ports: ports(443) },
    ]);
  });
});
