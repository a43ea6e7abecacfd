import { describe, expect, it } from "vitest";
import { matchingRules, openPorts } from "../policy/name-rules.ts";
import { decideQuery, type ResolverPolicy } from "./query-policy.ts";

const rules = [
  { name: "packages.example.com", subdomains: false, port: 443 },
  { name: "packages.example.com", subdomains: false, port: 80 },
  { name: "example.org", subdomains: true, port: null },
  { name: "metadata.google.internal", subdomains: false, port: 80 },
];
const allow: ResolverPolicy = { kind: "allow", names: rules };
const open: ResolverPolicy = { kind: "public" };

describe("matchingRules", () => {
  it.each([
    ["packages.example.com", 2],
    ["a.packages.example.com", 0],
    ["example.com", 0],
    ["example.org", 0],
    ["a.example.org", 1],
    ["a.b.c.example.org", 1],
    ["evilexample.org", 0],
    ["a.example.org.evil.net", 0],
  ])("for %s finds %i rules", (name, count) => {
    expect(matchingRules(rules, name)).toHaveLength(count);
  });

  it("combines the ports of the rules", () => {
    expect(openPorts(rules.slice(0, 2))).toEqual([443, 80]);
    expect(openPorts(rules)).toBeNull();
  });
});

describe("decideQuery", () => {
  it.each([
    [open, "example.com", "A", { kind: "forward", ports: undefined }],
    [open, "_dmarc.example.com", "TXT", { kind: "forward", ports: undefined }],
    [open, "8.8.8.8.in-addr.arpa", "PTR", { kind: "forward", ports: undefined }],
    [open, "8.8.8.8.in-addr.arpa", "A", { kind: "refuse", code: "NXDOMAIN", isDenial: false }],
    [open, "1.0.0.10.in-addr.arpa", "PTR", { kind: "refuse", code: "NXDOMAIN", isDenial: false }],
    [open, "0.10.in-addr.arpa", "PTR", { kind: "refuse", code: "NXDOMAIN", isDenial: false }],
    [open, `${"0.".repeat(31)}f.ip6.arpa`, "PTR", { kind: "refuse", code: "NXDOMAIN", isDenial: false }],
    [open, "metadata.google.internal", "A", { kind: "refuse", code: "NXDOMAIN", isDenial: true }],
    [open, "x.localhost", "A", { kind: "refuse", code: "NXDOMAIN", isDenial: true }],
    [open, "router.home.arpa", "A", { kind: "refuse", code: "NXDOMAIN", isDenial: false }],
    [open, "db", "A", { kind: "refuse", code: "NXDOMAIN", isDenial: false }],
    [open, "a b.example.com", "A", { kind: "refuse", code: "NXDOMAIN", isDenial: false }],
    [open, `${"a".repeat(64)}.example.com`, "A", { kind: "refuse", code: "NXDOMAIN", isDenial: false }],
    [open, `${"a.".repeat(126)}example`, "A", { kind: "refuse", code: "NXDOMAIN", isDenial: false }],
    [open, "example.com", "HTTPS", { kind: "empty" }],
    [open, "example.com", "NULL", { kind: "refuse", code: "REFUSED", isDenial: false }],
    [open, "example.com", "UNKNOWN_65400", { kind: "refuse", code: "REFUSED", isDenial: false }],
    [allow, "packages.example.com", "AAAA", { kind: "forward", ports: [443, 80] }],
    [allow, "a.example.org", "A", { kind: "forward", ports: null }],
    [allow, "a.example.org", "TXT", { kind: "refuse", code: "REFUSED", isDenial: false }],
    [allow, "a.example.org", "UNKNOWN_65", { kind: "empty" }],
    [allow, "example.com", "A", { kind: "refuse", code: "REFUSED", isDenial: true }],
    [allow, "metadata.google.internal", "A", { kind: "refuse", code: "NXDOMAIN", isDenial: true }],
  ] as const)("decides %o for %s %s", (policy, name, type, decision) => {
    expect(decideQuery(policy, name, type)).toEqual(decision);
  });
});
