import { TemplateFailure } from "./template-failure.ts";

/*
 * Globs as in gobwas/glob without separators: `*` and `**` match anything, `/` too; `?` matches one character; `[abc]`,
 * `[a-z]` and `[!a-z]` match one of a class; `{a,b}` matches one of several patterns; a backslash takes the next
 * character literally. Matching takes time proportional to pattern × text, whatever the pattern.
 */

const maximumPattern = 1024;
const maximumDepth = 32;
/** Product of pattern and text. */
const maximumWork = 16 * 1024 * 1024;

type Test = (character: string) => boolean;

/** Why the pattern is not a glob, or `undefined` if it is one. */
export function globProblem(pattern: string): string | undefined {
  try {
    new Glob(pattern);
    return undefined;
  } catch (error) {
    if (error instanceof TemplateFailure) return error.message;
    throw error;
  }
}

/** A state of the automaton: it reads a character that passes the test, or goes on without reading. */
interface State {
  readonly test: Test | undefined;
  readonly next: number[];
}

export class Glob {
  private readonly states: readonly State[];
  private readonly accepting: number;

  /** Throws a `TemplateFailure` if the pattern is not a glob. */
  constructor(pattern: string) {
    if (pattern.length > maximumPattern) throw invalid(pattern, `is longer than ${maximumPattern} characters`);
    const compiler = new Compiler(pattern);
    this.states = compiler.states;
    this.accepting = compiler.accepting;
  }

  matches(text: string): boolean {
    const characters = [...text];
    if (characters.length * this.states.length > maximumWork) throw new TemplateFailure("text too long for a glob");
    let current = this.reach([0]);
    for (const character of characters) {
      const following: number[] = [];
      for (const index of current) {
        const state = this.states[index];
        if (state?.test?.(character)) following.push(...state.next);
      }
      if (following.length === 0) return false;
      current = this.reach(following);
    }
    return current.has(this.accepting);
  }

  /** All states that can be reached without reading. */
  private reach(start: readonly number[]): ReadonlySet<number> {
    const reached = new Set<number>();
    const pending = [...start];
    for (let index = pending.pop(); index !== undefined; index = pending.pop()) {
      if (reached.has(index)) continue;
      reached.add(index);
      const state = this.states[index];
      if (state && !state.test) pending.push(...state.next);
    }
    return reached;
  }
}

class Compiler {
  readonly states: State[] = [];
  readonly accepting: number;
  private readonly pattern: string;
  private readonly characters: readonly string[];
  private index = 0;

  constructor(pattern: string) {
    this.pattern = pattern;
    this.characters = [...pattern];
    this.accepting = this.sequence(this.add(undefined), 0);
  }

  /** Adds states for a sequence of items after the state `from`, and returns the last one. */
  private sequence(from: number, depth: number): number {
    if (depth > maximumDepth) throw invalid(this.pattern, "is nested too deeply");
    let last = from;
    for (;;) {
      const character = this.characters[this.index];
      if (character === undefined) {
        if (depth > 0) throw invalid(this.pattern, "has an unclosed `{`");
        return last;
      }
      if (depth > 0 && (character === "," || character === "}")) return last;
      this.index += 1;
      if (character === "*") last = this.any(last);
      else if (character === "?") last = this.one(last, () => true);
      else if (character === "[") last = this.one(last, this.characterClass());
      else if (character === "{") last = this.alternatives(last, depth + 1);
      else {
        const literal = character === "\\" ? this.escaped() : character;
        last = this.one(last, (other) => other === literal);
      }
    }
  }

  private alternatives(from: number, depth: number): number {
    const end = this.add(undefined);
    for (;;) {
      const start = this.add(undefined);
      this.states[from]?.next.push(start);
      const last = this.sequence(start, depth);
      this.states[last]?.next.push(end);
      const closed = this.characters[this.index] === "}";
      this.index += 1;
      if (closed) return end;
    }
  }

  private any(from: number): number {
    const loop = this.add(() => true);
    const end = this.add(undefined);
    this.states[loop]?.next.push(loop, end);
    this.states[from]?.next.push(loop, end);
    return end;
  }

  private one(from: number, test: Test): number {
    const read = this.add(test);
    const end = this.add(undefined);
    this.states[read]?.next.push(end);
    this.states[from]?.next.push(read);
    return end;
  }

  private add(test: Test | undefined): number {
    this.states.push({ test, next: [] });
    return this.states.length - 1;
  }

  private characterClass(): Test {
    const negated = this.characters[this.index] === "!";
    if (negated) this.index += 1;
    const [low, dash, high, close] = this.characters.slice(this.index, this.index + 4);
    if (dash === "-" && low !== undefined && high !== undefined) {
      if (close !== "]") throw invalid(this.pattern, "has a range that does not end with `]`");
      if (codeOf(high) < codeOf(low)) throw invalid(this.pattern, `has the range ${low}-${high}, which is reversed`);
      this.index += 4;
      return (character) => (codeOf(character) >= codeOf(low) && codeOf(character) <= codeOf(high)) !== negated;
    }
    const members = new Set<string>();
    for (;;) {
      const character = this.characters[this.index];
      if (character === undefined) throw invalid(this.pattern, "has an unclosed `[`");
      this.index += 1;
      if (character === "]") break;
      members.add(character === "\\" ? this.escaped() : character);
    }
    if (members.size === 0) throw invalid(this.pattern, "has an empty class");
    return (character) => members.has(character) !== negated;
  }

  private escaped(): string {
    const character = this.characters[this.index];
    if (character === undefined) throw invalid(this.pattern, "ends with a backslash");
    this.index += 1;
    return character;
  }
}

function codeOf(character: string): number {
  return character.codePointAt(0) ?? 0;
}

function invalid(pattern: string, reason: string): TemplateFailure {
  const shown = pattern.length > 60 ? `${pattern.slice(0, 60)}…` : pattern;
  return new TemplateFailure(`the glob ${JSON.stringify(shown)} ${reason}`);
}
