import fc from "fast-check";
import { expect, test } from "vitest";
import { Glob } from "./glob.ts";

test.each([
  [
    "git.example/acme/*",
    ["git.example/acme/core", "git.example/acme/a/b", "git.example/acme/"],
    ["git.example/acme", ""],
  ],
  ["*", ["", "a/b"], []],
  ["a**b", ["ab", "a/x/b"], ["a", "b"]],
  ["a?", ["ab", "aü"], ["a", "abc"]],
  ["[abc]", ["a", "c"], ["d", "ab", ""]],
  ["[a-c]x", ["bx"], ["dx"]],
  ["[!a-c]", ["d", "ü"], ["b", "", "dd"]],
  ["[!abc]", ["d"], ["a"]],
  ["{a,b{c,d}}e", ["ae", "bce", "bde"], ["be", "e"]],
  ["{*,x}y", ["y", "abcy", "xy"], ["x"]],
  ["{,a}", ["", "a"], ["b"]],
  ["\\*[\\]]", ["*]"], ["a]"]],
  ["a,b}", ["a,b}"], ["a"]],
])("the glob %s matches what gobwas/glob matches", (pattern, matching, others) => {
  const glob = new Glob(pattern);
  expect(matching.filter((text) => !glob.matches(text))).toEqual([]);
  expect(others.filter((text) => glob.matches(text))).toEqual([]);
});

test.each(["[", "[a", "[]", "[!]", "[a-zA-Z]", "[c-a]", "{a", "a\\", "x".repeat(2000), "{".repeat(100)])(
  "the glob %s is refused",
  (pattern) => {
    expect(() => new Glob(pattern)).toThrow(/^the glob "/);
  },
);

test("matching is linear on patterns that make other matchers run away", () => {
  const glob = new Glob(`${"*a".repeat(50)}b`);
  expect(glob.matches("a".repeat(20_000))).toBe(false);
});

test("any pattern matches, does not match, or is refused", () => {
  const pattern = fc.array(fc.constantFrom(..."ab*?[]{},!-\\/ü"), { maxLength: 12 }).map((parts) => parts.join(""));
  fc.assert(
    fc.property(pattern, fc.string({ maxLength: 8 }), (glob, text) => {
      try {
        expect(new Glob(glob).matches(text)).toBeTypeOf("boolean");
      } catch (error) {
        expect(String(error)).toContain("the glob ");
      }
    }),
  );
});
