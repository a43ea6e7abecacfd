import { execFileSync } from "node:child_process";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { shellQuote } from "./shell-quote.ts";

describe("shellQuote", () => {
  it("leaves simple words unquoted", () => {
    expect(["npm", "--flag=a/b", "it's", ""].map(shellQuote)).toEqual(["npm", "--flag=a/b", `'it'\\''s'`, "''"]);
  });

  it("makes a real shell parse exactly the words that were quoted", () => {
    const word = fc.string({ unit: "grapheme" }).filter((text) => !text.includes("\0") && text.isWellFormed());
    fc.assert(
      fc.property(fc.array(word, { minLength: 1, maxLength: 5 }), (words) => {
        const script = `for word in ${words.map(shellQuote).join(" ")}; do printf '%s\\0' "$word"; done`;
        const output = execFileSync("/bin/sh", ["-c", script], { encoding: "utf8" });
        expect(output).toBe(words.map((text) => `${text}\0`).join(""));
      }),
      { numRuns: 50 },
    );
  });
});
