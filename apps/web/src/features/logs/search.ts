export interface Match {
  readonly line: number;
  readonly start: number;
  readonly end: number;
}

export interface SearchQuery {
  readonly text: string;
  readonly matchCase: boolean;
}

/** The lines to search. They grow in number, and only the open ones still change. */
export interface SearchableLines {
  readonly lineCount: number;
  readonly openLines: readonly number[];
  text(index: number): string;
}

/** The search stops at about this number. Readers do not step through more matches. */
export const maxMatches = 10_000;

/**
 * Finds a literal text in a log, in slices of lines, so that searching millions of lines never blocks the page. The
 * time is linear in the log, because the text is not used as a pattern.
 */
export class LogSearch {
  private readonly settled: Match[] = [];
  private readonly pattern: RegExp | undefined;
  private readonly lines: SearchableLines;
  private next = 0;
  /** Lines that were open when the search reached them. They are searched once they are complete. */
  private passed: number[] = [];

  constructor(lines: SearchableLines, query: SearchQuery) {
    this.lines = lines;
    if (query.text !== "") {
      this.pattern = new RegExp(query.text.replaceAll(/[.*+?^${}()|[\]\\/]/g, "\\$&"), query.matchCase ? "gu" : "giu");
    }
  }

  /** Matches in the lines searched so far and in the open ones, in order. */
  get matches(): readonly Match[] {
    if (this.passed.length === 0) return this.settled;
    return this.passed.reduce<Match[]>((all, line) => insert(all, this.inLine(line)), this.settled.slice());
  }

  /** Whether the search stopped at `maxMatches`. */
  get full(): boolean {
    return this.settled.length >= maxMatches;
  }

  /** Whether all lines so far were searched. */
  get done(): boolean {
    return this.pattern === undefined || this.full || this.next >= this.lines.lineCount;
  }

  /** Searches up to `lineBudget` more lines. */
  advance(lineBudget: number): void {
    const open = new Set(this.lines.openLines);
    const closed = this.passed.filter((line) => !open.has(line));
    this.passed = this.passed.filter((line) => open.has(line));
    for (const line of closed) insert(this.settled, this.inLine(line));
    const end = Math.min(this.lines.lineCount, this.next + lineBudget);
    for (; this.next < end && !this.full; this.next += 1) {
      if (open.has(this.next)) this.passed.push(this.next);
      else this.settled.push(...this.inLine(this.next));
    }
  }

  /** Matches in one line, for highlighting. Also works for lines not searched yet. */
  inLine(line: number): Match[] {
    if (this.pattern === undefined) return [];
    const matches: Match[] = [];
    for (const match of this.lines.text(line).matchAll(this.pattern)) {
      matches.push({ line, start: match.index, end: match.index + match[0].length });
    }
    return matches;
  }
}

/** Inserts the matches of one line into the ordered list. */
function insert(all: Match[], added: readonly Match[]): Match[] {
  const line = added[0]?.line;
  if (line === undefined) return all;
  const behind = all.findLastIndex((match) => match.line < line) + 1;
  all.splice(behind, 0, ...added);
  return all;
}

/** Index of the first match at or after `line`, else of the first match; -1 if there are no matches. */
export function firstMatchFrom(matches: readonly Match[], line: number): number {
  if (matches.length === 0) return -1;
  const index = matches.findIndex((match) => match.line >= line);
  return index === -1 ? 0 : index;
}
