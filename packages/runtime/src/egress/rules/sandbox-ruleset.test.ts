import { describe, expect, it } from "vitest";
import { AddressPool } from "../addresses/address-pool.ts";
import { ownerNames } from "../host/names.ts";
import { connectionLimits } from "./connection-limits.ts";
import { pinRuleset } from "./pin-ruleset.ts";
import { type SandboxRules, sandboxRemoval, sandboxRuleset } from "./sandbox-ruleset.ts";

const names = ownerNames("owner");
const block = new AddressPool("198.18.0.0/24", 0n).take([]);
if (!block) throw new Error("a block");
const limits = connectionLimits({ size: 65_536, closedSeconds: 120 }, { hasTimeouts: true });
const shared = { names, resolverPort: 61_000, limits };
const sandbox: SandboxRules = {
  slot: block.slot,
  interfaceName: "ak0000000",
  gateway: block.gateway,
  subnet: block.subnet,
  ipv6Subnet: null,
  policy: { kind: "public" },
};
const allowing: SandboxRules = {
  ...sandbox,
  policy: {
    kind: "allow",
    privateRanges: [],
    publicRanges: [],
    names: [{ name: "example.com", subdomains: false, port: 443 }],
  },
};

describe("sandboxRuleset", () => {
  it.each([sandbox, allowing])("checks for closed addresses before it accepts anything", (rules) => {
    const forwarded = chain(sandboxRuleset(shared, rules), "fw_0");
    const firstAccept = forwarded.findIndex((rule) => /accept$|goto ok_/.test(rule));
    expect(forwarded.findIndex((rule) => rule.startsWith("ip daddr @forbidden4"))).toBeLessThan(firstAccept);
    expect(forwarded.findIndex((rule) => rule.startsWith("ip6 daddr @forbidden6"))).toBeLessThan(firstAccept);
    expect(forwarded.at(-1)).toBe("goto no_0");
  });

  it("refuses all IPv6 for a sandbox without IPv6", () => {
    expect(chain(sandboxRuleset(shared, sandbox), "fw_0")).toContain("meta nfproto ipv6 goto no_0");
  });

  it("opens the sandbox's interface with its last commands, when all rules are in place", () => {
    const commands = sandboxRuleset(shared, allowing).trim().split("\n");
    const firstElement = commands.findIndex((command) => command.startsWith("add element"));
    expect(commands.slice(firstElement).every((command) => command.startsWith("add element"))).toBe(true);
  });

  it.each([sandbox, allowing])("is removed completely by the removal commands, name by name", (rules) => {
    const made = [...sandboxRuleset(shared, rules).matchAll(/^add (set|chain) inet \w+ (\w+)/gm)];
    const gone = [...sandboxRemoval(names, rules).matchAll(/^delete (set|chain) inet \w+ (\w+)/gm)];
    const list = (matches: RegExpMatchArray[]) => matches.map(([, kind, name]) => `${kind} ${name}`).sort();
    expect(list(gone)).toEqual(list(made));
  });
});

describe("pinRuleset", () => {
  it("opens an address once, however often it was requested", () => {
    const pin = { slot: 0, family: 4, address: "8.8.8.8", port: 443, seconds: 60 } as const;
    const commands = pinRuleset(names, [pin, { ...pin, seconds: 90 }, { ...pin, port: null }])
      .trim()
      .split("\n");
    expect(commands).toHaveLength(6);
    expect(commands).toContain(`add element inet ${names.table} p4_0 { 8.8.8.8 . 443 timeout 90s }`);
    expect(commands).toContain(`add element inet ${names.table} a4_0 { 8.8.8.8 timeout 60s }`);
  });
});

function chain(text: string, name: string): readonly string[] {
  return [...text.matchAll(new RegExp(`^add rule inet \\w+ ${name} (.*)$`, "gm"))].map(([, rule]) => rule ?? "");
}
