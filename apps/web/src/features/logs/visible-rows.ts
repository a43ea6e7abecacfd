import { countWhile } from "./count-while.ts";
import type { LogGroup } from "./log-groups.ts";

/** Lines that folded groups hide: disjoint ranges in ascending order. */
export interface HiddenLines {
  /** First line of each range. */
  readonly from: readonly number[];
  /** Line after the last one of each range. */
  readonly to: readonly number[];
  /** Number of lines hidden by all ranges before each. */
  readonly before: readonly number[];
  readonly total: number;
}

export const nothingHidden: HiddenLines = { from: [], to: [], before: [], total: 0 };

/** @param groups in ascending order of `start`. */
export function hiddenLines(groups: readonly LogGroup[], isFolded: (group: LogGroup) => boolean): HiddenLines {
  const from: number[] = [];
  const to: number[] = [];
  const before: number[] = [];
  let total = 0;
  let end = 0;
  for (const group of groups) {
    if (group.start < end || group.end === undefined || group.end === group.start || !isFolded(group)) continue;
    from.push(group.start + 1);
    end = group.end + 1;
    to.push(end);
    before.push(total);
    total += end - group.start - 1;
  }
  return { from, to, before, total };
}

/** The rows of a log whose groups may be folded: row n is the n-th line that is not hidden. */
export class VisibleRows {
  private readonly hidden: HiddenLines;

  constructor(hidden: HiddenLines) {
    this.hidden = hidden;
  }

  count(lineCount: number): number {
    return lineCount - this.hidden.total;
  }

  lineAt(row: number): number {
    const { from, to, before } = this.hidden;
    // Ranges whose first visible successor is at or before the row.
    const passed = countWhile(from.length, (range) => (from[range] ?? 0) - (before[range] ?? 0) <= row) - 1;
    if (passed < 0) return row;
    return row + (before[passed] ?? 0) + (to[passed] ?? 0) - (from[passed] ?? 0);
  }

  /** Row of the line. If the line is hidden: row of the heading of its folded group. */
  rowOf(line: number): number {
    const { from, to, before } = this.hidden;
    const range = countWhile(from.length, (index) => (from[index] ?? 0) <= line) - 1;
    if (range < 0) return line;
    const start = from[range] ?? 0;
    const hiddenBefore = before[range] ?? 0;
    return line < (to[range] ?? 0) ? start - 1 - hiddenBefore : line - hiddenBefore - ((to[range] ?? 0) - start);
  }
}
