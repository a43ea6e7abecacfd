import { plainStyle, type TextStyle } from "@airlock/terminal-text";
import type { LogLine } from "./line-buffer.ts";
import type { Match } from "./search.ts";

/** A part of a line with a uniform look. */
export interface Segment {
  readonly text: string;
  readonly style: TextStyle;
  /** The match that contains it. */
  readonly match: Match | undefined;
}

/** Splits a line where its style changes and where a match starts or ends. */
export function segmentLine(line: Pick<LogLine, "text" | "runs">, matches: readonly Match[]): Segment[] {
  const cuts = new Set([0, line.text.length]);
  for (const run of line.runs) cuts.add(run.start);
  for (const match of matches) {
    cuts.add(match.start);
    cuts.add(match.end);
  }
  const points = [...cuts].filter((point) => point <= line.text.length).sort((a, b) => a - b);
  const segments: Segment[] = [];
  let run = -1;
  let match = 0;
  for (const [index, start] of points.entries()) {
    const end = points[index + 1];
    if (end === undefined) break;
    while ((line.runs[run + 1]?.start ?? Number.POSITIVE_INFINITY) <= start) run += 1;
    while ((matches[match]?.end ?? Number.POSITIVE_INFINITY) <= start) match += 1;
    const here = matches[match];
    segments.push({
      text: line.text.slice(start, end),
      style: line.runs[run]?.style ?? plainStyle,
      match: here !== undefined && here.start <= start ? here : undefined,
    });
  }
  return segments;
}
