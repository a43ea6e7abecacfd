import { parseBytes } from "@airlock/job";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { offeredSize } from "./offered-size.ts";

describe("an executor's offer", () => {
  it.each([
    [12e9, "12G"],
    [1_500e6, "1500M"],
    [512 * 2 ** 20, "536870912"],
    [16 * 2 ** 30 - 1, "17179869183"],
  ])("has %d bytes as %s", (bytes, text) => {
    expect(offeredSize(bytes)).toBe(text);
  });

  it("keeps each size exactly", () => {
    const sizes = fc.oneof(
      fc.maxSafeNat(),
      fc.nat(1000).map((count) => count * 2 ** 20),
    );
    fc.assert(fc.property(sizes, (bytes) => parseBytes(offeredSize(bytes)) === bytes));
  });
});
