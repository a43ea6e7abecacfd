import { describe, expect, it } from "vitest";
import { formatLineRange, parseLineRange } from "./permalink.ts";

describe("line ranges in a fragment", () => {
  it.each(["#L1", "#L120", "#L120-L130"])("reads and writes %s", (hash) => {
    const range = parseLineRange(hash);
    expect(range && formatLineRange(range)).toBe(hash);
  });

  it("puts the ends in order", () => {
    expect(parseLineRange("#L9-L3")).toEqual({ first: 3, last: 9 });
  });

  it.each(["", "#", "#L0", "#Labc", "#token=x", "#L1e9", "#L99999999999"])("reads nothing from %s", (hash) => {
    expect(parseLineRange(hash)).toBeUndefined();
  });
});
