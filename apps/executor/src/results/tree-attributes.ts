import { Breather } from "./breather.ts";
import { type GitPattern, gitPattern } from "./git-pattern.ts";

/** A value as git has it: set, unset, or a text. Absent: unspecified. */
export type AttributeValue = true | false | string;

export type Attributes = ReadonlyMap<string, AttributeValue>;

interface Assignment {
  readonly name: string;
  /** `null`: `!name`, which leaves the attribute unspecified whatever earlier lines say. */
  readonly value: AttributeValue | null;
}

interface AttributeRule {
  readonly pattern: GitPattern;
  readonly assignments: readonly Assignment[];
}

/** Git ignores longer lines. */
const maximumLineLength = 2048;
const binaryMacro: readonly Assignment[] = ["text", "merge", "diff"].map((name) => ({ name, value: false }));

/**
 * The `.gitattributes` files of a tree, as git understands them, for some attributes. They are hostile: matching takes
 * time that grows with the number of rules and paths and with their lengths, and ends with the signal. Paths are bytes,
 * one character each.
 */
export class TreeAttributes {
  /** By directory; the tree's root is the empty text. The last rule first, because it wins. */
  readonly #rules = new Map<string, readonly AttributeRule[]>();
  readonly #macros = new Map<string, readonly Assignment[]>([["binary", binaryMacro]]);
  readonly #names: ReadonlySet<string>;
  readonly #breather: Breather;

  /**
   * @param files contents by directory.
   * @param names the attributes to look up.
   */
  constructor(files: ReadonlyMap<string, string>, names: readonly string[], signal: AbortSignal) {
    this.#names = new Set(names);
    for (const [directory, text] of files) {
      // Git takes macros from the root's file only.
      const rules = parseAttributesFile(text, directory === "" ? this.#macros : new Map());
      if (rules.length > 0) this.#rules.set(directory, rules.reverse());
    }
    this.#breather = new Breather(signal);
  }

  async of(path: string): Promise<Attributes> {
    const found = new Map<string, AttributeValue | null>();
    if (this.#rules.size > 0) {
      const segments = path.split("/");
      for (let depth = segments.length - 1; depth >= 0; depth -= 1) {
        const rules = this.#rules.get(segments.slice(0, depth).join("/"));
        if (!rules) continue;
        const below = segments.slice(depth);
        for (const { pattern, assignments } of rules) {
          if (this.#breather.hasWorked(1 + pattern.cost * below.length)) await this.#breather.breathe();
          if (!pattern.directoriesOnly && pattern.matches(below)) this.#assign(assignments, found);
        }
      }
    }
    const values = new Map<string, AttributeValue>();
    for (const [name, value] of found) if (value !== null && this.#names.has(name)) values.set(name, value);
    return values;
  }

  /** The first value that is found stays. Within a line the last one wins. */
  #assign(assignments: readonly Assignment[], found: Map<string, AttributeValue | null>): void {
    // Not by recursion: a macro may set other macros.
    const pending = [...assignments];
    for (let next = pending.pop(); next; next = pending.pop()) {
      if (found.has(next.name)) continue;
      found.set(next.name, next.value);
      const macro = next.value === true ? this.#macros.get(next.name) : undefined;
      if (macro) pending.push(...macro);
    }
  }
}

/** @param macros receives the file's macros. */
function parseAttributesFile(text: string, macros: Map<string, readonly Assignment[]>): AttributeRule[] {
  const rules: AttributeRule[] = [];
  for (const line of text.replace(/^\u00ef\u00bb\u00bf/, "").split("\n")) {
    if (line.length >= maximumLineLength) continue;
    const { name, rest, isQuoted } = splitLine(line.replace(/^[ \t\r]+/, ""));
    if (name === "" || (!isQuoted && name.startsWith("#"))) continue;
    const assignments = parseAssignments(rest);
    if (!assignments) continue;
    if (name.length > macroPrefix.length && name.startsWith(macroPrefix)) {
      const macro = name.slice(macroPrefix.length).replace(/^[ \t\r]+/, "");
      if (isAttributeName(macro)) macros.set(macro, assignments);
      continue;
    }
    const pattern = name.startsWith("!") ? null : gitPattern(name);
    if (pattern) rules.push({ pattern, assignments });
  }
  return rules;
}

const macroPrefix = "[attr]";

function splitLine(line: string): { readonly name: string; readonly rest: string; readonly isQuoted: boolean } {
  const quoted = line.startsWith('"') ? unquote(line) : null;
  if (quoted) return { ...quoted, isQuoted: true };
  const end = line.search(/[ \t\r]/);
  return end < 0
    ? { name: line, rest: "", isQuoted: false }
    : { name: line.slice(0, end), rest: line.slice(end), isQuoted: false };
}

const escapes: Readonly<Record<string, string>> = {
  a: "\u0007",
  b: "\b",
  f: "\f",
  n: "\n",
  r: "\r",
  t: "\t",
  v: "\v",
  "\\": "\\",
  '"': '"',
};

/** Reads a name in C's quotes. `null`: it is not one, so git takes the quote for a part of the pattern. */
function unquote(line: string): { readonly name: string; readonly rest: string } | null {
  let name = "";
  for (let at = 1; at < line.length; ) {
    const character = line[at] ?? "";
    if (character === '"') return { name, rest: line.slice(at + 1) };
    if (character !== "\\") {
      name += character;
      at += 1;
      continue;
    }
    const letter = line[at + 1] ?? "";
    const octal = /^[0-3][0-7]{2}/.exec(line.slice(at + 1, at + 4))?.[0];
    const meant = octal === undefined ? escapes[letter] : String.fromCharCode(Number.parseInt(octal, 8));
    if (meant === undefined) return null;
    name += meant;
    at += octal === undefined ? 2 : 4;
  }
  return null;
}

/** `null`: a name is not valid, so git ignores the line. */
function parseAssignments(text: string): Assignment[] | null {
  const assignments: Assignment[] = [];
  for (const word of text.split(/[ \t\r]+/).filter(Boolean)) {
    const sign = /^[-!]/.exec(word)?.[0];
    const equals = word.indexOf("=");
    const name = sign ? word.slice(1) : equals < 0 ? word : word.slice(0, equals);
    if (!isAttributeName(name)) return null;
    const value = sign === "-" ? false : sign === "!" ? null : equals < 0 ? true : word.slice(equals + 1);
    assignments.push({ name, value });
  }
  return assignments;
}

function isAttributeName(name: string): boolean {
  return /^[A-Za-z0-9_.][-A-Za-z0-9_.]*$/.test(name);
}
