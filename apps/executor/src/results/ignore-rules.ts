import { Breather } from "./breather.ts";
import { type GitPattern, gitPattern } from "./git-pattern.ts";

interface IgnoreRule extends GitPattern {
  /** `!pattern`: takes back what an earlier rule ignores. */
  readonly negated: boolean;
}

/**
 * The `.gitignore` files of a tree, as git understands them. They are hostile: matching takes time that grows with the
 * number of rules and paths and with their lengths, and ends with the signal. Paths are bytes, one character each.
 */
export class IgnoreRules {
  /** By directory; the tree's root is the empty text. The last rule first, because it wins. */
  readonly #rules = new Map<string, readonly IgnoreRule[]>();
  readonly #excluded = new Map<string, boolean>([["", false]]);
  readonly #breather: Breather;

  /** @param files contents by directory. */
  constructor(files: ReadonlyMap<string, string>, signal: AbortSignal) {
    for (const [directory, text] of files) this.#rules.set(directory, parseIgnoreFile(text).reverse());
    this.#breather = new Breather(signal);
  }

  /** Whether git leaves a file alone that it does not track yet. */
  async ignores(path: string): Promise<boolean> {
    const slash = path.lastIndexOf("/");
    if (slash > 0 && (await this.#isExcluded(path.slice(0, slash)))) return true;
    return await this.#decide(path, false);
  }

  /** Below a directory that is ignored, no rule takes anything back. */
  async #isExcluded(directory: string): Promise<boolean> {
    // From the root, and not by recursion: paths may have a thousand parts.
    for (let end = directory.indexOf("/"); ; end = directory.indexOf("/", end + 1)) {
      const part = end < 0 ? directory : directory.slice(0, end);
      let excluded = this.#excluded.get(part);
      if (excluded === undefined) {
        excluded = await this.#decide(part, true);
        this.#excluded.set(part, excluded);
      }
      if (excluded || end < 0) return excluded;
    }
  }

  async #decide(path: string, isDirectory: boolean): Promise<boolean> {
    const segments = path.split("/");
    for (let depth = segments.length - 1; depth >= 0; depth -= 1) {
      const rules = this.#rules.get(segments.slice(0, depth).join("/"));
      if (!rules) continue;
      const below = segments.slice(depth);
      for (const rule of rules) {
        if (this.#breather.hasWorked(1 + rule.cost * below.length)) await this.#breather.breathe();
        if ((isDirectory || !rule.directoriesOnly) && rule.matches(below)) return !rule.negated;
      }
    }
    return false;
  }
}

function parseIgnoreFile(text: string): IgnoreRule[] {
  const rules: IgnoreRule[] = [];
  for (const line of text.replace(/^\u00ef\u00bb\u00bf/, "").split("\n")) {
    if (line.startsWith("#")) continue;
    const trimmed = withoutTrailingSpaces(line.replace(/\r$/, ""));
    const negated = trimmed.startsWith("!");
    const pattern = gitPattern(negated ? trimmed.slice(1) : trimmed);
    if (pattern) rules.push({ ...pattern, negated });
  }
  return rules;
}

/** A space after a backslash stays. */
function withoutTrailingSpaces(line: string): string {
  let end = line.length;
  while (end > 0 && line[end - 1] === " ") end -= 1;
  if (end === line.length) return line;
  let backslashes = 0;
  while (line[end - 1 - backslashes] === "\\") backslashes += 1;
  return line.slice(0, backslashes % 2 === 1 ? end + 1 : end);
}
