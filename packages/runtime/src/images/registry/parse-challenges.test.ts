import { describe, expect, it } from "vitest";
import { parseChallenges } from "./parse-challenges.ts";

const plain = (header: string) =>
  parseChallenges(header).map(({ scheme, parameters }) => [scheme, Object.fromEntries(parameters)]);

const bearer = { realm: "https://auth.example.com/token", service: "registry.example.com" };
const bearerText = 'realm="https://auth.example.com/token",service="registry.example.com"';

describe("parseChallenges", () => {
  it.each<[string, string, readonly unknown[]]>([
    ["one", `Bearer ${bearerText}`, [["bearer", bearer]]],
    ["a scheme alone", "Negotiate", [["negotiate", {}]]],
    [
      "two",
      `Basic realm="r", Bearer ${bearerText}`,
      [
        ["basic", { realm: "r" }],
        ["bearer", bearer],
      ],
    ],
    [
      "two in the other order",
      `Bearer ${bearerText},Basic realm="r"`,
      [
        ["bearer", bearer],
        ["basic", { realm: "r" }],
      ],
    ],
    [
      "two without parameters",
      "Negotiate, Basic",
      [
        ["negotiate", {}],
        ["basic", {}],
      ],
    ],
    [
      "a scheme alone before others",
      `Basic, Bearer ${bearerText}`,
      [
        ["basic", {}],
        ["bearer", bearer],
      ],
    ],
    [
      "one with a token68",
      `Negotiate oYG2MIGz==, Basic realm="r"`,
      [
        ["negotiate", {}],
        ["basic", { realm: "r" }],
      ],
    ],
    ["names in capitals", 'BEARER REALM="r",Service=s', [["bearer", { realm: "r", service: "s" }]]],
    ["spaces around signs", 'Bearer realm = "r" , service = s', [["bearer", { realm: "r", service: "s" }]]],
    ["commas and schemes in quotes", 'Bearer realm="a, Basic realm=b"', [["bearer", { realm: "a, Basic realm=b" }]]],
    ["quotes in quotes", 'Bearer realm="a\\"b\\\\"', [["bearer", { realm: 'a"b\\' }]]],
    [
      "empty elements",
      ' ,, Basic realm="r",, ,Bearer realm="s", ',
      [
        ["basic", { realm: "r" }],
        ["bearer", { realm: "s" }],
      ],
    ],
    ["the first of two values", 'Bearer realm="a",realm="b"', [["bearer", { realm: "a" }]]],
    ["nothing", "", []],
    ["parameters without a scheme", 'realm="r"', []],
    [
      "what comes before nonsense",
      'Basic realm="r", Bearer realm="',
      [
        ["basic", { realm: "r" }],
        ["bearer", {}],
      ],
    ],
  ])("reads %s", (_, header, expected) => {
    expect(plain(header)).toEqual(expected);
  });

  it.each([
    "a=".repeat(50_000),
    '"'.repeat(100_000),
    `Basic ${'x="'.repeat(30_000)}`,
    ", ".repeat(50_000),
    "a ".repeat(50_000),
  ])("takes linear time on hostile input (%#)", (header) => {
    const startedAt = performance.now();
    parseChallenges(header);
    expect(performance.now() - startedAt).toBeLessThan(2_000);
  });
});
