// biome-ignore-all lint/suspicious/noControlCharactersInRegex: control characters are what these tests are about
import fc from "fast-check";
import { expect, it } from "vitest";
import { applySgr, plainStyle, sgrOf, type TextStyle } from "./text-style.ts";

const codes = fc
  .array(fc.oneof(fc.integer({ min: 0, max: 110 }), fc.constantFrom("38;5;208", "48;2;0;10;255", "8", "", "38;5;7")))
  .map((list) => list.join(";"));

it("a style's SGR sequence sets exactly that style, whatever the style was before", () => {
  fc.assert(
    fc.property(codes, codes, (before, after) => {
      const style = applySgr(plainStyle, after);
      const sequence = sgrOf(style);
      expect(sequence).toMatch(/^\u{1b}\[0[0-9;]*m$/u);
      expect(applySgr(applySgr(plainStyle, before), sequence.slice(2, -1))).toEqual(style);
    }),
  );
});

it.each<[string, TextStyle, string]>([
  ["plain text", {}, "\u001b[0m"],
  ["named colours", { color: 1, background: 12 }, "\u001b[0;31;104m"],
  ["the palette", { color: 208 }, "\u001b[0;38;5;208m"],
  ["24-bit colours", { background: "#000aff", bold: true }, "\u001b[0;1;48;2;0;10;255m"],
])("the SGR sequence of %s", (_, style, expected) => {
  expect(sgrOf(style)).toBe(expected);
});
