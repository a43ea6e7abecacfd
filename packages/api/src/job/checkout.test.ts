import { describe, expect, it } from "vitest";
import { Checkout, defaultCheckout, sparsePatterns } from "./checkout.ts";

describe("the checkout of a job", () => {
  it("is the commit alone unless the job asks for more", () => {
    expect(Checkout.parse({})).toEqual(defaultCheckout);
    expect(Checkout.parse({ depth: "full", tags: true, paths: ["./a/b/", "c d"] })).toEqual({
      depth: "full",
      tags: true,
      paths: ["a/b", "c d"],
    });
  });

  it.each([
    [{ depth: 0 }, /from 1 to 100000, or full/],
    [{ depth: -1 }, /or full/],
    [{ depth: 1.5 }, /or full/],
    [{ depth: 100_001 }, /or full/],
    [{ depth: "all" }, /or full/],
    [{ depth: null }, /or full/],
    [{ tags: "yes" }, /tags/],
    [{ paths: ["/etc"] }, /relative path inside the repository/],
    [{ paths: ["a/../../b"] }, /relative path inside the repository/],
    [{ paths: ["a//b"] }, /relative path inside the repository/],
    [{ paths: [""] }, /must name a directory or a file/],
    [{ paths: ["."] }, /must name a directory or a file/],
    [{ paths: ["a\n!b"] }, /control characters/],
    [{ paths: ["a\u0000"] }, /control characters/],
    [{ paths: Array.from({ length: 201 }, () => "a") }, /at most 200 paths/],
    [{ deepness: 1 }, /deepness/],
  ])("%j is refused", (input, problem) => {
    expect(() => Checkout.parse(input)).toThrow(problem);
  });

  it("paths are not treated as patterns", () => {
    expect(sparsePatterns(["a*b", "c?[d]", "!e", "#f", "back\\slash", "end  "])).toEqual([
      "/a\\*b",
      "/c\\?\\[d]",
      "/!e",
      "/#f",
      "/back\\\\slash",
      "/end\\ \\ ",
    ]);
  });
});
