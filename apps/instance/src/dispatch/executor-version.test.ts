import { describe, expect, it } from "vitest";
import { parseExecutorVersion, payloadVersion, usesJobTokens } from "./executor-version.ts";

describe("parseExecutorVersion", () => {
  it.each([
    [undefined, 1, false],
    ["", 1, false],
    ["3.38.0", 1, false],
    ["4.2.99", 1, false],
    ["4.3.0-0", 2, false],
    ["v4.5.1", 2, false],
    ["5.0.0", 2, true],
    ["5.11.0", 2, true],
    ["10.0.0", 2, true],
    ["dev", 2, true],
    ["0.0.0+dev", 2, true],
    ["190000_2022-11-23_abcdef", 1, false],
    ["190000_2022-11-24_5.0-abcdef", 2, false],
    ["210000_2023-02-01_5.0-abcdef", 2, true],
  ])("reads %s as an executor that gets payload version %d and uses job tokens: %s", (text, payload, tokens) => {
    const version = parseExecutorVersion(text) ?? expect.fail("it is a version");
    expect([payloadVersion(version), usesJobTokens(version)]).toEqual([payload, tokens]);
  });

  it.each(["latest", "1", "4.3", "x.y.z"])("does not accept %s as a version", (text) => {
    expect(parseExecutorVersion(text)).toBeUndefined();
  });
});
