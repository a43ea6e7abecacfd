import { visibleText } from "../../ui/visible-text.ts";

/** A line of a diff, and its kind for the colour. */
export interface DiffLine {
  readonly kind: "file" | "header" | "hunk" | "added" | "removed" | "context";
  readonly text: string;
  /** Line number in the file before and after the change. */
  readonly before?: number;
  readonly after?: number;
}

export interface DiffFile {
  readonly name: string;
  /** Index of its first line. */
  readonly line: number;
}

const longestLine = 2000;

/**
 * Splits a unified diff into lines. Pure. Unknown lines are headers. Within a hunk the counts of its header decide: a
 * removed line that reads `-- a/file` is content, although it looks like a header.
 */
export function parseDiff(text: string): DiffLine[] {
  let before = 0;
  let after = 0;
  let [oldLine, newLine] = [0, 0];
  const lines = text.split("\n");
  if (lines.at(-1) === "") lines.pop();
  return lines.map((line): DiffLine => {
    const shown = visibleText(line.length > longestLine ? `${line.slice(0, longestLine)}…` : line);
    if (before > 0 || after > 0) {
      if (line.startsWith("+")) {
        after -= 1;
        newLine += 1;
        return { kind: "added", text: shown, after: newLine - 1 };
      }
      if (line.startsWith("-")) {
        before -= 1;
        oldLine += 1;
        return { kind: "removed", text: shown, before: oldLine - 1 };
      }
      if (line.startsWith(" ")) {
        before -= 1;
        after -= 1;
        oldLine += 1;
        newLine += 1;
        return { kind: "context", text: shown, before: oldLine - 1, after: newLine - 1 };
      }
      if (line.startsWith("\\")) return { kind: "header", text: shown };
    }
    const hunk = /^@@ -(\d{1,12})(?:,(\d{1,12}))? \+(\d{1,12})(?:,(\d{1,12}))? @@/.exec(line);
    if (hunk) {
      [oldLine, newLine] = [Number(hunk[1]), Number(hunk[3])];
      before = Number(hunk[2] ?? 1);
      after = Number(hunk[4] ?? 1);
      return { kind: "hunk", text: shown };
    }
    before = 0;
    after = 0;
    return { kind: line.startsWith("diff --git ") ? "file" : "header", text: shown };
  });
}

/** The files of a diff, to go to. */
export function filesOf(lines: readonly DiffLine[]): DiffFile[] {
  return lines.flatMap(({ kind, text }, line) =>
    kind === "file"
      ? [{ line, name: /^diff --git a\/.* b\/(.*)$/.exec(text)?.[1] ?? text.slice("diff --git ".length) }]
      : [],
  );
}
