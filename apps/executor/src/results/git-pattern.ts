import { matchStars, type NameToken } from "./match-stars.ts";

/**
 * A pattern of `.gitignore` or `.gitattributes`. Paths are bytes, one character each (latin1). Not the same as a glob of
 * `outputs` (`OutputGlobs`): there `*` means characters and not bytes, a pattern without a slash means the root's entries
 * only, `a/**` includes `a`, `.git` must be spelled out, and there are no classes such as `[:alpha:]`.
 */
export interface GitPattern {
  /** The pattern ends with a slash: it means directories only. */
  readonly directoriesOnly: boolean;
  /** About how much work one match is, in comparisons of characters. */
  readonly cost: number;
  /** @param segments of the path, relative to the directory of the pattern's file. */
  matches(segments: readonly string[]): boolean;
}

type Token =
  | NameToken
  | { readonly kind: "slash" }
  /** Two stars or more that make up a whole segment: any number of directories. */
  | { readonly kind: "any-depth" };

/** The kernel's limit on a path. */
const maximumLength = 4096;

/** What one segment of a path is compared with. */
type Segment = { readonly kind: "any-depth" } | { readonly kind: "name"; readonly tokens: readonly NameToken[] };

/**
 * Compiles a pattern as git understands it. Git's own matching tries every way of dividing a name among the stars, which
 * takes hours for a hostile pattern. Here a star never goes back further than to the last one, and the time of a match
 * grows with the pattern's length times the path's.
 * `null`: the pattern matches nothing.
 */
export function gitPattern(text: string): GitPattern | null {
  if (text.length > maximumLength) return null;
  const directoriesOnly = text.endsWith("/");
  const body = directoriesOnly ? text.slice(0, -1) : text;
  if (body === "") return null;
  const inName = !body.includes("/");
  const tokens = tokensOf(body.startsWith("/") ? body.slice(1) : body, inName);
  if (tokens === null) return null;
  const matcher = literalOf(body) ?? (inName ? nameMatcher : pathMatcher)(segmentsOf(tokens));
  return { directoriesOnly, cost: tokens.length, matches: matcher };
}

type Matcher = GitPattern["matches"];

/** Most patterns: a name or a path without a special character. */
function literalOf(body: string): Matcher | null {
  if (/[*?[\\]/.test(body)) return null;
  if (!body.includes("/")) return (segments) => segments.at(-1) === body;
  const path = body.startsWith("/") ? body.slice(1) : body;
  return (segments) => segments.join("/") === path;
}

/** @param pattern of one segment, which any name in a path may match. */
function nameMatcher([pattern]: readonly Segment[]): Matcher {
  const tokens = pattern?.kind === "name" ? pattern.tokens : [];
  return (segments) => matchStars(tokens, segments.at(-1) ?? "");
}

function pathMatcher(pattern: readonly Segment[]): Matcher {
  return (segments) => {
    let at = 0;
    let retryPattern = -1;
    let retrySegment = 0;
    for (let index = 0; index < segments.length; ) {
      const current = pattern[at];
      if (current?.kind === "any-depth") {
        // `a/**` means what is below `a`, not `a` itself: the last one takes a segment at least.
        if (at === pattern.length - 1) return true;
        retryPattern = at;
        retrySegment = index;
        at += 1;
      } else if (current && matchStars(current.tokens, segments[index] ?? "")) {
        at += 1;
        index += 1;
      } else if (retryPattern >= 0) {
        retrySegment += 1;
        index = retrySegment;
        at = retryPattern + 1;
      } else return false;
    }
    return at === pattern.length;
  };
}

function segmentsOf(tokens: readonly Token[]): Segment[] {
  const segments: Segment[] = [];
  let name: NameToken[] = [];
  let isAnyDepth = false;
  const end = () => {
    segments.push(isAnyDepth ? { kind: "any-depth" } : { kind: "name", tokens: name });
    name = [];
    isAnyDepth = false;
  };
  for (const token of tokens) {
    if (token.kind === "slash") end();
    else if (token.kind === "any-depth") isAnyDepth = true;
    else name.push(token);
  }
  end();
  return segments;
}

/** `null`: a class that is never closed, or a backslash at the end. Git matches nothing by such a pattern. */
function tokensOf(text: string, inName: boolean): Token[] | null {
  const tokens: Token[] = [];
  for (let at = 0; at < text.length; ) {
    const character = text[at] ?? "";
    if (character === "*") {
      let stars = 1;
      while (text[at + stars] === "*") stars += 1;
      const [before, after] = [text[at - 1] ?? "/", text[at + stars] ?? "/"];
      if (stars > 1 && !inName && before === "/" && after === "/") tokens.push({ kind: "any-depth" });
      else tokens.push({ kind: "star" });
      at += stars;
    } else if (character === "?") {
      tokens.push(anyCharacter);
      at += 1;
    } else if (character === "[") {
      const found = parseClass(text, at);
      if (found === null) return null;
      tokens.push({ kind: "one", accepts: found.accepts });
      at = found.end;
    } else if (character === "\\") {
      const meant = text[at + 1];
      if (meant === undefined) return null;
      tokens.push(literalToken(meant));
      at += 2;
    } else {
      tokens.push(literalToken(character));
      at += 1;
    }
  }
  return tokens;
}

const anyCharacter: NameToken = { kind: "one", accepts: () => true };
/** One token for each byte: a hostile file may have millions of characters. */
const literalTokens = Array.from({ length: 256 }, (_, code): Token => {
  const meant = String.fromCharCode(code);
  return meant === "/" ? { kind: "slash" } : { kind: "one", accepts: (character) => character === meant };
});

function literalToken(meant: string): Token {
  return literalTokens[meant.charCodeAt(0)] ?? anyCharacter;
}

/** One bit for each byte. A hostile class may name the same byte thousands of times, and must not take longer for it. */
type CharacterSet = Uint32Array;

function addRange(set: CharacterSet, from: number, to: number): void {
  for (let code = from; code <= to; code += 1) set[code >> 5] = (set[code >> 5] ?? 0) | (1 << (code & 31));
}

function hasCharacter(set: CharacterSet, character: string): boolean {
  const code = character.charCodeAt(0);
  return (((set[code >> 5] ?? 0) >>> (code & 31)) & 1) === 1;
}

function setOf(characters: RegExp): CharacterSet {
  const set = new Uint32Array(8);
  for (let code = 0; code < 256; code += 1) if (characters.test(String.fromCharCode(code))) addRange(set, code, code);
  return set;
}

/** The character classes of POSIX, for bytes in the C locale. */
const namedClasses = new Map<string, CharacterSet>(
  Object.entries({
    alnum: setOf(/[A-Za-z0-9]/),
    alpha: setOf(/[A-Za-z]/),
    blank: setOf(/[ \t]/),
    // biome-ignore lint/suspicious/noControlCharactersInRegex: the class of control characters
    cntrl: setOf(/[\x00-\x1f\x7f]/),
    digit: setOf(/[0-9]/),
    graph: setOf(/[\x21-\x7e]/),
    lower: setOf(/[a-z]/),
    print: setOf(/[\x20-\x7e]/),
    punct: setOf(/[!-/:-@[-`{-~]/),
    space: setOf(/[ \t\n\v\f\r]/),
    upper: setOf(/[A-Z]/),
    xdigit: setOf(/[A-Fa-f0-9]/),
  }),
);

/** @param begin of the `[`. */
function parseClass(text: string, begin: number): { accepts: (character: string) => boolean; end: number } | null {
  let at = begin + 1;
  const negated = text[at] === "!" || text[at] === "^";
  if (negated) at += 1;
  const set = new Uint32Array(8);
  /** What a range may begin with. */
  let previous = "";
  for (let first = true; first || text[at] !== "]"; first = false) {
    const character = text[at];
    if (character === undefined) return null;
    if (character === "-" && previous !== "" && text[at + 1] !== undefined && text[at + 1] !== "]") {
      at += text[at + 1] === "\\" ? 2 : 1;
      const [from, to] = [previous, text[at]];
      if (to === undefined) return null;
      addRange(set, from.charCodeAt(0), to.charCodeAt(0));
      previous = "";
      at += 1;
      continue;
    }
    const nameEnd = character === "[" && text[at + 1] === ":" ? text.indexOf("]", at + 2) : -1;
    if (character === "[" && text[at + 1] === ":") {
      if (nameEnd < 0) return null;
      if (nameEnd > at + 2 && text[nameEnd - 1] === ":") {
        const named = namedClasses.get(text.slice(at + 2, nameEnd - 1));
        if (!named) return null;
        for (const [index, bits] of named.entries()) set[index] = (set[index] ?? 0) | bits;
        previous = "";
        at = nameEnd + 1;
        continue;
      }
    }
    const literal = character === "\\" ? text[at + 1] : character;
    if (literal === undefined) return null;
    addRange(set, literal.charCodeAt(0), literal.charCodeAt(0));
    previous = literal;
    at += character === "\\" ? 2 : 1;
  }
  return { accepts: (character) => hasCharacter(set, character) !== negated, end: at + 1 };
}
