import { describe, expect, it } from "vitest";
import { OutputGlobs } from "./output-globs.ts";

function takes(globs: readonly string[], path: string | Buffer): boolean {
  const compiled = new OutputGlobs(globs);
  let state: typeof compiled.start | null = compiled.start;
  const parts = Buffer.isBuffer(path) ? [path] : path.split("/").map((part) => Buffer.from(part));
  for (const part of parts) state = state && compiled.advance(state, part);
  return state !== null && state.within.length > 0;
}

describe("OutputGlobs", () => {
  it.each([
    ["dist/**", "dist/a", true],
    ["dist/**", "dist/a/b.txt", true],
    ["dist/**", "other/dist/a", false],
    ["dist", "dist/a/b", true],
    ["./dist/", "dist/a", true],
    ["**", "a/b/c", true],
    ["**/*.xml", "report.xml", true],
    ["**/*.xml", "a/b/report.xml", true],
    ["**/*.xml", "a/report.xmls", false],
    ["a/**/b", "a/b", true],
    ["a/**/b", "a/x/y/b", true],
    ["*.txt", "a/b.txt", false],
    ["*", ".hidden", true],
    ["a?c", "aéc", true],
    ["[a-c]x", "bx", true],
    ["[!a-c]x", "bx", false],
    ["[]]", "]", true],
    ["[xa-cb-e]", "e", true],
    ["[xa-cb-e]", "x", true],
    ["[xa-eb-c]", "d", true],
    ["[xa-cb-e]", "f", false],
    ["[c-a]", "b", false],
    ["[!c-a]", "b", true],
    ["[é-ü]", "ö", true],
    ["[", "[", true],
    ["\\*", "*", true],
    ["\\*", "a", false],
    ["**", ".git/config", false],
    ["*/config", ".git/config", false],
    ["a/**", "a/.git/hooks/x", false],
    [".git/config", ".git/config", true],
  ])("%s and %s: %s", (glob, path, taken) => {
    expect(takes([glob], path)).toBe(taken);
  });

  it("matches names that are not UTF-8 byte by byte", () => {
    expect(takes(["b??"], Buffer.from([0x62, 0xff, 0xfe]))).toBe(true);
  });

  it("takes time proportional to glob times name at most, for globs that make other matchers backtrack", () => {
    const started = performance.now();
    expect(takes([`${"*a".repeat(1000)}b`], "a".repeat(255))).toBe(false);
    expect(takes([`${"*a".repeat(120)}b`], "a".repeat(255))).toBe(false);
    expect(takes([`${"**/".repeat(500)}x`], `${"a/".repeat(100)}y`)).toBe(false);
    expect(performance.now() - started).toBeLessThan(2000);
  });

  it("takes no longer for character classes with many characters", () => {
    const globs = Array.from({ length: 300 }, (_, index) => `*[${"b".repeat(900)}]${index}`);
    const compiled = new OutputGlobs(globs);
    const started = performance.now();
    for (let index = 0; index < 20; index += 1) {
      expect(compiled.advance(compiled.start, Buffer.from(`${"a".repeat(240)}${index}`))).toBe(null);
    }
    expect(performance.now() - started).toBeLessThan(2000);
  });
});
