import { describe, expect, it } from "vitest";
import { parseAllowRule } from "./egress-policy.ts";

describe("parseAllowRule", () => {
  it.each([
    ["packages.example.com:443", { kind: "name", name: "packages.example.com", subdomains: false, port: 443 }],
    ["*.Example.org", { kind: "name", name: "example.org", subdomains: true, port: null }],
    ["10.1.2.3/32:5432", { kind: "cidr", cidr: "10.1.2.3/32", port: 5432 }],
    ["10.1.2.3", { kind: "cidr", cidr: "10.1.2.3/32", port: null }],
    ["[2001:db8::/32]:443", { kind: "cidr", cidr: "2001:db8::/32", port: 443 }],
    ["[2001:DB8::1]", { kind: "cidr", cidr: "2001:db8::1/128", port: null }],
  ])("reads %s", (text, rule) => {
    expect(parseAllowRule(text)).toEqual(rule);
  });

  it.each([
    "",
    "*",
    "*.*.example.org",
    "example",
    "example.com:0",
    "example.com:65536",
    "http://example.com",
    "10.0.0.256",
    "10.0.0.0/33",
    "127.1",
    "0x7f.0.0.0x1",
    "2130706433",
    "2001:db8::1",
    "[10.0.0.1]",
    "[2001:db8::/129]",
    "a b.example.com",
    "-a.example.com",
  ])("explains what is wrong with %j", (text) => {
    expect(parseAllowRule(text)).toMatchObject({ kind: "invalid", problem: expect.stringMatching(/\w/) });
  });
});
