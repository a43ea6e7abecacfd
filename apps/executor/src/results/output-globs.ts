import { isUtf8 } from "node:buffer";

/** A place in the globs of a job after some directories; `null` where none of them can match any more. */
export interface GlobState {
  /** Segments that may come next, as indices into all segments. */
  readonly next: readonly number[];
  /** Globs that name a directory above: everything below is theirs. */
  readonly within: readonly number[];
}

type Segment =
  /** `**`: any number of directories, also none. */
  | { readonly kind: "any-depth"; readonly glob: number }
  | { readonly kind: "literal"; readonly glob: number; readonly text: string }
  | { readonly kind: "pattern"; readonly glob: number; readonly tokens: readonly Token[]; readonly minLength: number }
  /** After the last segment: what got here is named. */
  | { readonly kind: "end"; readonly glob: number };

type Token = { readonly kind: "star" } | { readonly kind: "one"; readonly accepts: (character: string) => boolean };

/**
 * The globs of `outputs`: `*`, `?` and `[a-z]`, `[!a-z]` within a name, `**` for any number of directories, `\` before a
 * character that is meant as it is. A glob that names a directory takes all below it. Names that begin with a dot are
 * like others, but `.git` is taken only by a glob that spells it out.
 *
 * The globs are the job's: matching takes one pass over the directories, keeps a set of places instead of trying ways,
 * and a `*` never goes back further than to the last one, so nothing in it grows faster than glob times name.
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

  /** From a directory to a name in it. */
  advance(state: GlobState, name: Buffer): GlobState | null {
    // What is not UTF-8 is matched byte by byte.
    const text = isUtf8(name) ? name.toString() : name.toString("latin1");
    const isGit = text.toLowerCase() === ".git";
    const characters = [...text];
    const next: number[] = [];
    for (const index of state.next) {
      const segment = this.#segments[index];
      if (segment?.kind === "any-depth" && !isGit) next.push(index);
      else if (segment?.kind === "literal" && segment.text === text) next.push(index + 1);
      else if (segment?.kind === "pattern" && !isGit && matches(segment, characters)) next.push(index + 1);
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

function parseTokens(text: readonly string[]): Token[] {
  const tokens: Token[] = [];
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

/** Of the `]` that ends a class; one that comes first stands for itself. -1: there is none, `[` is a character. */
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
  return (character) => ranges.some(([from, to]) => character >= from && character <= to) !== negated;
}

function matches(
  { tokens, minLength }: { readonly tokens: readonly Token[]; readonly minLength: number },
  name: readonly string[],
): boolean {
  if (name.length < minLength) return false;
  let token = 0;
  let starAt = -1;
  let starTook = 0;
  for (let at = 0; at < name.length; ) {
    const current = tokens[token];
    if (current?.kind === "star") {
      starAt = token;
      starTook = at;
      token += 1;
    } else if (current?.accepts(name[at] ?? "")) {
      token += 1;
      at += 1;
    } else if (starAt >= 0) {
      // The last star takes one character more; what earlier stars took needs no second look.
      starTook += 1;
      at = starTook;
      token = starAt + 1;
    } else {
      return false;
    }
  }
  while (tokens[token]?.kind === "star") token += 1;
  return token === tokens.length;
}
