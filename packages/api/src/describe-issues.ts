import type { z } from "zod";
import { escapeHidden } from "./primitives/stored-text.ts";

const maxLines = 20;
const maxLineLength = 500;

/**
 * Formats the issues of a failed parse, one line each: `steps[0].image: Invalid input: expected string, received
 * undefined`.
 * At most 20 lines of 500 characters, plus one with the number of further issues, because the sender controls how many
 * there are. Hidden characters of the input are escaped.
 */
export function describeIssues(error: z.ZodError): string[] {
  const lines = error.issues.slice(0, maxLines).map((issue) => {
    const path = formatPath(issue.path);
    // For a wrong key of a record, zod's own message doesn't say what is wrong with it.
    const message = (issue.code === "invalid_key" && issue.issues[0]?.message) || issue.message;
    return clip(escapeHidden(path ? `${path}: ${message}` : message));
  });
  const more = error.issues.length - lines.length;
  return more > 0 ? [...lines, `and ${more} more problems`] : lines;
}

function clip(line: string): string {
  return line.length <= maxLineLength ? line : `${line.slice(0, maxLineLength - 1)}…`;
}

function formatPath(path: readonly PropertyKey[]): string {
  return path.reduce<string>((text, part) => {
    if (typeof part === "number") return `${text}[${part}]`;
    return text ? `${text}.${String(part)}` : String(part);
  }, "");
}
