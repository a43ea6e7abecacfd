import { describe, expect, it } from "vitest";
import { filesOf, parseDiff } from "./diff-lines.ts";

describe("parseDiff", () => {
  it("classifies lines by the hunk's counts, not by their appearance", () => {
    const diff = [
      "diff --git a/x b/x",
      "--- a/x",
      "+++ b/x",
      "@@ -1,3 +1,2 @@",
      " same",
      "--- a/secret",
      "-diff --git a/y b/y",
      "+++ b/other",
      "\\ No newline at end of file",
      "diff --git a/z b/z",
    ].join("\n");
    expect(parseDiff(diff).map(({ kind }) => kind)).toEqual([
      "file",
      "header",
      "header",
      "hunk",
      "context",
      "removed",
      "removed",
      "added",
      "header",
      "file",
    ]);
  });

  it("makes hidden and direction-changing characters visible, and cuts long lines", () => {
    const lines = parseDiff(`@@ -0,0 +1,2 @@\n+a\u202eb\u001b[31m\r\n+${"x".repeat(5000)}`);
    expect(lines[1]?.text).toBe("+a\\u{202e}b\\u{1b}[31m␍");
    expect(lines[2]?.text.length).toBe(2001);
  });

  it("numbers the lines of both sides, and lists the files", () => {
    const diff = "diff --git a/x b/x\n@@ -7,2 +9,2 @@\n a\n-b\n+c\ndiff --git a/z q b/z q\n@@ -1 +1 @@\n-d\n+e\n";
    const lines = parseDiff(diff);
    expect(lines.map(({ before, after }) => [before, after])).toEqual([
      [undefined, undefined],
      [undefined, undefined],
      [7, 9],
      [8, undefined],
      [undefined, 10],
      [undefined, undefined],
      [undefined, undefined],
      [1, undefined],
      [undefined, 1],
    ]);
    expect(filesOf(lines)).toEqual([
      { line: 0, name: "x" },
      { line: 5, name: "z q" },
    ]);
  });
});
