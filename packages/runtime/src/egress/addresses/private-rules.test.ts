import { parseAllowRule } from "@airlock/job";
import { describe, expect, it } from "vitest";
import { type RangeAllowRule, uncoveredPrivateRules } from "./private-rules.ts";

const parsed = (...rules: readonly string[]) =>
  rules.map((text) => {
    const rule = parseAllowRule(text);
    if (rule.kind === "invalid") throw new Error(rule.problem);
    return rule;
  });
const openable = parsed("10.1.0.0/16:5432", "192.168.7.0/24", "[fd12::/16]:443") as RangeAllowRule[];
const uncovered = (rule: string) => uncoveredPrivateRules(parsed(rule), openable).length === 1;

describe("rules that open a private network", () => {
  it.each(["10.1.2.3/32:5432", "10.1.0.0/16:5432", "192.168.7.7", "192.168.7.0/25:80", "[fd12:3456::1]:443"])(
    "are permitted if the administrator lists their addresses: %s",
    (rule) => {
      expect(uncovered(rule)).toBe(false);
    },
  );

  it.each([
    "10.2.2.3/32:5432",
    "10.1.2.3/32:5433",
    "10.1.2.3/32",
    "10.0.0.0/8:5432",
    "192.168.0.0/16",
    "100.64.0.1",
    "[fd13::1]:443",
    "[fd12::1]",
    "169.254.169.254",
  ])("are not permitted otherwise: %s", (rule) => {
    expect(uncovered(rule)).toBe(true);
  });

  it.each(["45.45.45.45", "0.0.0.0/0:443", "8.0.0.0/5", "[2a00::/16]", "*.example.com:443", "10.example.com"])(
    "do not include rules that lead to the internet: %s",
    (rule) => {
      expect(uncovered(rule)).toBe(false);
    },
  );
});
