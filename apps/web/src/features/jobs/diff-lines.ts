import { visibleText } from "../../ui/visible-text.ts";

/** A line of a diff, and its kind for the colour. */
export interface DiffLine {
  readonly kind: "file" | "header" | "hunk" | "added" | "removed" | "context";
  readonly text: string;
}

const longestLine = 2000;

/**
 * Splits a unified diff into lines. Pure. Unknown lines are headers. Within a hunk the counts of its header decide: a
 * removed line that reads `-- a/file` is content, although it looks like a header.
 */
export function parseDiff(text: string): DiffLine[] {
  let before = 0;
  let after = 0;
  const lines = text.split("\n");
  if (lines.at(-1) === "") lines.pop();
  return lines.map((line): DiffLine => {
    const shown = visibleText(line.length > longestLine ? `${line.slice(0, longestLine)}…` : line);
    if (before > 0 || after > 0) {
      if (line.startsWith("+")) {
        after -= 1;
        return { kind: "added", text: shown };
      }
      if (line.startsWith("-")) {
        before -= 1;
        return { kind: "removed", text: shown };
      }
      if (line.startsWith(" ")) {
        before -= 1;
        after -= 1;
        return { kind: "context", text: shown };
      }
      if (line.startsWith("\\")) return { kind: "header", text: shown };
    }
    const hunk = /^@@ -\d+(?:,(\d+))? \+\d+(?:,(\d+))? @@/.exec(line);
    if (hunk) {
      before = Number(hunk[1] ?? 1);
      after = Number(hunk[2] ?? 1);
      return { kind: "hunk", text: shown };
    }
    before = 0;
    after = 0;
    return { kind: line.startsWith("diff --git ") ? "file" : "header", text: shown };
  });
}
