import { describe, expect, it } from "vitest";
import { LineBuffer } from "./line-buffer.ts";
import { firstMatchFrom, LogSearch, maxMatches } from "./search.ts";

function linesOf(texts: readonly string[], openLines: readonly number[] = []) {
  return { lineCount: texts.length, openLines, text: (index: number) => texts[index] ?? "" };
}

function searchAll(texts: readonly string[], text: string, matchCase = false) {
  const search = new LogSearch(linesOf(texts), { text, matchCase });
  while (!search.done) search.advance(2);
  return search;
}

describe("LogSearch", () => {
  it("finds every match, even several in a line, and ignores case", () => {
    expect(searchAll(["an Error", "none", "error error"], "error").matches).toEqual([
      { line: 0, start: 3, end: 8 },
      { line: 2, start: 0, end: 5 },
      { line: 2, start: 6, end: 11 },
    ]);
  });

  it("respects case on request", () => {
    expect(searchAll(["Error error"], "error", true).matches).toEqual([{ line: 0, start: 6, end: 11 }]);
  });

  it.each(["a.c", "(x)+", "[1-2]", "\\n", "$^|", "{3}/"])("takes %s literally", (text) => {
    expect(searchAll(["abc xx 1", `<${text}>`], text).matches).toEqual([{ line: 1, start: 1, end: 1 + text.length }]);
  });

  it("finds nothing for an empty query", () => {
    expect(searchAll(["abc"], "").matches).toEqual([]);
  });

  it("stops counting at the limit", () => {
    const search = searchAll(
      Array.from({ length: maxMatches + 500 }, () => "x"),
      "x",
    );
    expect(search.full).toBe(true);
    expect(search.matches).toHaveLength(maxMatches);
  });

  it("continues where it stopped as the log grows, and keeps matches of an unfinished line in order", () => {
    const buffer = new LineBuffer();
    const append = (stream: "stdout" | "stderr", text: string) =>
      buffer.append(buffer.byteLength, stream, new TextEncoder().encode(text));
    append("stdout", "prompt hit");
    append("stderr", "hit\nnothing\n");
    const search = new LogSearch(buffer, { text: "hit", matchCase: false });
    search.advance(100);
    expect(search.matches.map(({ line, start }) => [line, start])).toEqual([
      [0, 7],
      [1, 0],
    ]);
    append("stdout", " hit\nlast hit\n");
    search.advance(100);
    expect(search.matches.map(({ line, start }) => [line, start])).toEqual([
      [0, 7],
      [0, 11],
      [1, 0],
      [3, 5],
    ]);
  });
});

describe("firstMatchFrom", () => {
  const matches = [3, 7].map((line) => ({ line, start: 0, end: 1 }));
  it("returns the next match at or after a line, and wraps around at the end", () => {
    expect([0, 3, 4, 8].map((line) => firstMatchFrom(matches, line))).toEqual([0, 0, 1, 0]);
    expect(firstMatchFrom([], 0)).toBe(-1);
  });
});
