import { hideUrlCredentials } from "@airlock/job";
import { replaceUnprintable } from "@airlock/terminal-text";
import type { Span } from "@airlock/yaml-source";

const contextLines = 2;
const widest = 110;

/** The lines around a place, with a mark below it, as compilers show them. */
export function codeFrame(text: string, span: Span): string {
  const lines = text.split(/\r?\n/).map((line) => hideUrlCredentials(line, (hidden) => "*".repeat(hidden.length)));
  const first = Math.max(1, span.line - contextLines);
  const numberWidth = String(span.line).length;
  const frame: string[] = [];
  // Shows only the part of a very long line that is around the place.
  const cut = span.column > widest - 30 ? span.column - 40 : 0;
  for (let number = first; number <= span.line; number++) {
    const line = lines[number - 1] ?? "";
    frame.push(
      `${number === span.line ? ">" : " "} ${String(number).padStart(numberWidth)} | ${shown(line, cut)}`.trimEnd(),
    );
  }
  const length = Math.max(
    1,
    Math.min(span.length, (lines[span.line - 1] ?? "").length - span.column + 1, widest - (span.column - cut)),
  );
  frame.push(`  ${" ".repeat(numberWidth)} | ${" ".repeat(span.column - 1 - cut)}${"^".repeat(length)}`);
  return frame.join("\n");
}

/** Replaces each character by exactly one, so that the mark below stays aligned. */
function shown(line: string, cut: number): string {
  return replaceUnprintable(line.slice(cut, cut + widest).replaceAll("\t", " "), "\ufffd");
}
