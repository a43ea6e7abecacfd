import { expect, it } from "vitest";
import { plainText } from "./plain-text.ts";

it.each([
  ["line ends, tabs and carriage returns", "a\r\nb\tc\rd\n\ne", "a b c d e"],
  ["colours", "\u001b[31mred\u001b[0m", "red"],
  ["a title and a link", "\u001b]0;owned\u0007a\u001b]8;;http://x\u001b\\b", "ab"],
  ["a reversed reading order", "a\u202eb\u2066c", "abc"],
  ["line separators", "a\u2028b\u2029c", "a b c"],
  ["backspaces", "ab\b\bc", "abc"],
  ["an unfinished sequence", "a\u001b[31", "a"],
])("plain text of %s is one line", (_, text, expected) => {
  expect(plainText(text)).toBe(expected);
});
