import { isUtf8 } from "node:buffer";
import { matchStars, type NameToken } from "./match-stars.ts";

/**
 * The state of matching a job's globs after some directories. A state of `null` means that none of the globs can match
 * any more.
 */
export interface GlobState {
  /** Segments that may match next, as indices into all segments. */
  readonly next: readonly number[];
  /** Globs that matched a parent directory. They include everything below it. */
  readonly within: readonly number[];
}

type Segment =
  /** `**`: any number of directories, including zero. */
  | { readonly kind: "any-depth"; readonly glob: number }
  | { readonly kind: "literal"; readonly glob: number; readonly text: string }
  | {
      readonly kind: "pattern";
      readonly glob: number;
      readonly tokens: readonly NameToken[];
      readonly minLength: number;
    }
  /** Follows the last segment. A path that reaches it matches. */
  | { readonly kind: "end"; readonly glob: number };

/**
 * The globs of `outputs`: `*`, `?`, `[a-z]` and `[!a-z]` within a name, `**` for any number of directories, and `\` to
 * escape a character. A glob that matches a directory includes everything below it. Names with a leading dot are like
 * others, but `.git` is matched only by a glob that spells it out.
 *
 * The globs come from the job, so matching must not be exponential. It visits each directory once and keeps a set of
 * states instead of backtracking. A `*` backtracks only to the last `*`. Its time is bounded by the glob's length times
 * the name's length.
 */
export class OutputGlobs {
  readonly globs: readonly string[];
  readonly #segments: readonly Segment[];
  readonly start: GlobState;

  constructor(globs: readonly string[]) {
    this.globs = globs;
    const segments: Segment[] = [];
    const starts: number[] = [];
    for (const [glob, text] of globs.entries()) {
      starts.push(segments.length);
      for (const part of text.split("/")) if (part !== "" && part !== ".") segments.push(parseSegment(part, glob));
      segments.push({ kind: "end", glob });
    }
    this.#segments = segments;
    this.start = this.#settle(starts, []);
  }

  /** Steps from a directory to one of its entries. */
  advance(state: GlobState, name: Buffer): GlobState | null {
    // A name that is not UTF-8 is matched byte by byte.
    const text = isUtf8(name) ? name.toString() : name.toString("latin1");
    const isGit = text.toLowerCase() === ".git";
    const characters = [...text];
    const next: number[] = [];
    for (const index of state.next) {
      const segment = this.#segments[index];
      if (segment?.kind === "any-depth" && !isGit) next.push(index);
      else if (segment?.kind === "literal" && segment.text === text) next.push(index + 1);
      else if (
        segment?.kind === "pattern" &&
        !isGit &&
        characters.length >= segment.minLength &&
        matchStars(segment.tokens, characters)
      )
        next.push(index + 1);
    }
    const settled = this.#settle(next, isGit ? [] : state.within);
    return settled.next.length === 0 && settled.within.length === 0 ? null : settled;
  }

  #settle(places: readonly number[], within: readonly number[]): GlobState {
    const next = new Set<number>();
    const named = new Set(within);
    for (let index of places) {
      for (;;) {
        const segment = this.#segments[index];
        if (segment === undefined || next.has(index)) break;
        if (segment.kind === "end") {
          named.add(segment.glob);
          break;
        }
        next.add(index);
        if (segment.kind !== "any-depth") break;
        index += 1;
      }
    }
    return { next: [...next], within: [...named] };
  }
}

function parseSegment(text: string, glob: number): Segment {
  if (text === "**") return { kind: "any-depth", glob };
  if (!/[*?[\\]/.test(text)) return { kind: "literal", glob, text };
  const tokens = parseTokens([...text]);
  return { kind: "pattern", glob, tokens, minLength: tokens.filter(({ kind }) => kind === "one").length };
}

function parseTokens(text: readonly string[]): NameToken[] {
  const tokens: NameToken[] = [];
  for (let index = 0; index < text.length; index += 1) {
    const character = text[index] ?? "";
    const end = character === "[" ? classEnd(text, index) : -1;
    if (character === "*") {
      if (tokens.at(-1)?.kind !== "star") tokens.push({ kind: "star" });
    } else if (character === "?") {
      tokens.push({ kind: "one", accepts: () => true });
    } else if (end > 0) {
      tokens.push({ kind: "one", accepts: parseClass(text.slice(index + 1, end)) });
      index = end;
    } else {
      if (character === "\\" && index + 1 < text.length) index += 1;
      const meant = text[index];
      tokens.push({ kind: "one", accepts: (other) => other === meant });
    }
  }
  return tokens;
}

/** Index of the `]` that closes the class, or -1 if it is never closed and `[` is literal. A leading `]` is literal. */
function classEnd(text: readonly string[], begin: number): number {
  const first = text[begin + 1] === "!" || text[begin + 1] === "^" ? begin + 2 : begin + 1;
  return text.indexOf("]", first + 1);
}

function parseClass(text: readonly string[]): (character: string) => boolean {
  const negated = text[0] === "!" || text[0] === "^";
  const members = negated ? text.slice(1) : text;
  const ranges: [string, string][] = [];
  for (let index = 0; index < members.length; index += 1) {
    const from = members[index] ?? "";
    const to = members[index + 1] === "-" ? members[index + 2] : undefined;
    ranges.push([from, to ?? from]);
    if (to !== undefined) index += 2;
  }
  const sorted = mergeRanges(ranges);
  return (character) => isInRanges(sorted, character) !== negated;
}

/** In order and without overlaps, so that a class of thousands of characters takes no longer to match than others. */
function mergeRanges(ranges: readonly [string, string][]): readonly [string, string][] {
  const merged: [string, string][] = [];
  const ordered = ranges.filter(([from, to]) => from <= to).sort(([one], [other]) => (one < other ? -1 : 1));
  for (const [from, to] of ordered) {
    const last = merged.at(-1);
    if (!last || from > last[1]) merged.push([from, to]);
    else if (to > last[1]) last[1] = to;
  }
  return merged;
}

function isInRanges(ranges: readonly [string, string][], character: string): boolean {
  let [low, high] = [0, ranges.length - 1];
  while (low <= high) {
    const middle = (low + high) >> 1;
    const [from = "", to = ""] = ranges[middle] ?? [];
    if (character < from) high = middle - 1;
    else if (character > to) low = middle + 1;
    else return true;
  }
  return false;
}
