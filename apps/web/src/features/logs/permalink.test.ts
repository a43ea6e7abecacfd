import { describe, expect, it } from "vitest";
import { formatLineRange, parseLineRange } from "./permalink.ts";

describe("line ranges in a URL fragment", () => {
  it.each(["#L1", "#L120", "#L120-L130"])("are read and written as %s", (hash) => {
    const range = parseLineRange(hash);
    expect(range && formatLineRange(range)).toBe(hash);
  });

  it("are put in order if their ends are swapped", () => {
    expect(parseLineRange("#L9-L3")).toEqual({ first: 3, last: 9 });
  });

  it.each(["", "#", "#L0", "#Labc", "#token=x", "#L1e9", "#L99999999999"])("are not read from %s", (hash) => {
    expect(parseLineRange(hash)).toBeUndefined();
  });
});
