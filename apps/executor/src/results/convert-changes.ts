import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { AirlockError } from "@airlock/job";
import { type DiffGit, diffFailure } from "./diff-git.ts";
import type { Change, ProblemList, Tracked } from "./find-changes.ts";
import type { Attributes, TreeAttributes } from "./tree-attributes.ts";

/** The attributes that decide what git stores for a file of a working tree. */
export const conversionAttributes = ["text", "crlf", "eol", "ident", "working-tree-encoding"] as const;

/** Each kind takes one git command. Real projects have a handful. */
const maximumKinds = 64;
/** Each of these takes one more git command. */
const maximumUnconvertible = 20;

export interface ConvertOptions {
  /** Its index is empty, and its work tree has the copies. */
  readonly git: DiffGit;
  readonly gitDir: string;
  readonly attributes: TreeAttributes;
  readonly tracked: ReadonlyMap<string, Tracked>;
  readonly problems: ProblemList;
}

/** Files whose attributes are the same. */
interface Kind {
  /** In the form of `.gitattributes`. */
  readonly line: string;
  readonly encoding: string;
  /** Keyed by the name of the file's copy. */
  readonly changes: Map<string, Change>;
}

/**
 * Stores changed files as objects, with the line endings and the encoding that a commit would give them. Git decides
 * that by the attributes of a path. Here it sees numbers instead of paths and, for one kind of attributes after the
 * other, a single line that holds for every file. So git matches no pattern of the repository.
 * @returns the object of each change. A change that cannot be converted has none.
 * @throws {AirlockError} `diff-failed`.
 */
export async function convertChanges(
  changes: readonly Change[],
  options: ConvertOptions,
): Promise<ReadonlyMap<Change, string>> {
  const { git, gitDir, tracked, problems } = options;
  const kinds = await kindsOf(changes, options);
  // With `text=auto` git keeps the line endings of a file that was committed with CRLF.
  await git.check(["update-index", "-z", "--index-info"], {
    stdin: changes
      .map(({ path, copy }) => ({ copy, before: tracked.get(path.toString("latin1")) }))
      .filter(({ before }) => before && /^100/.test(before.mode))
      .map(({ copy, before }) => `100644 ${before?.object}\t${copy}\0`)
      .join(""),
  });
  const converted = new Map<string, Change>();
  let unconvertible = 0;
  for (const { line, encoding, changes: rest } of kinds) {
    await writeFile(join(gitDir, "info", "attributes"), `* ${line}\n`);
    while (rest.size > 0) {
      const stdin = [...rest.keys()].map((name) => `${name}\0`).join("");
      const result = await git.run(["update-index", "-z", "--add", "--stdin"], { stdin });
      if (result.exitCode === 0) break;
      const change = encoding === "" ? undefined : rest.get(unconvertibleName(result.stderr));
      unconvertible += 1;
      if (!change || unconvertible > maximumUnconvertible) throw diffFailure("update-index", result);
      problems.add(change.path, cannotConvert(encoding));
      rest.delete(change.copy);
    }
    for (const [name, change] of rest) converted.set(name, change);
  }
  await writeFile(join(gitDir, "info", "attributes"), "");
  return await readObjects(git, converted);
}

async function kindsOf(changes: readonly Change[], { attributes, problems }: ConvertOptions): Promise<Iterable<Kind>> {
  const kinds = new Map<string, Kind>();
  for (const change of changes) {
    const found: Attributes =
      change.mode === "120000" ? new Map([["text", false]]) : await attributes.of(change.path.toString("latin1"));
    const value = found.get("working-tree-encoding");
    const encoding = typeof value === "string" ? value : "";
    // Git ends with an error where the attribute has no value.
    if (value === true || !/^[\w.:()+/-]{0,64}$/.test(encoding)) {
      problems.add(change.path, cannotConvert(encoding.slice(0, 64)));
      continue;
    }
    const line = lineOf(found, encoding);
    const kind = kinds.get(line) ?? { line, encoding, changes: new Map() };
    kinds.set(line, kind);
    kind.changes.set(change.copy, change);
  }
  if (kinds.size > maximumKinds) {
    throw new AirlockError(`the changed files have more than ${maximumKinds} kinds of attributes (.gitattributes)`, {
      code: "diff-failed",
    });
  }
  return kinds.values();
}

/** Only what has a meaning, because a hostile repository may use any text as a value. */
function lineOf(found: Attributes, encoding: string): string {
  const words: string[] = [];
  for (const name of ["text", "crlf"]) {
    const value = found.get(name);
    if (value === true) words.push(name);
    else if (value === false) words.push(`-${name}`);
    else if (value === "auto" || value === "input") words.push(`${name}=${value}`);
  }
  const eol = found.get("eol");
  if (eol === "lf" || eol === "crlf") words.push(`eol=${eol}`);
  if (found.get("ident") === true) words.push("ident");
  if (encoding !== "") words.push(`working-tree-encoding=${encoding}`);
  return words.join(" ");
}

function cannotConvert(encoding: string): string {
  if (encoding === "") return "cannot be converted, its working-tree-encoding has no value";
  return `cannot be converted from ${JSON.stringify(encoding)}, its working-tree-encoding`;
}

/** The file that made git fail, as in `fatal: failed to encode '17' from UTF-16 to UTF-8`. */
function unconvertibleName(stderr: string): string {
  return /^fatal: [^\n']*'(\d+)'/m.exec(stderr)?.[1] ?? "";
}

async function readObjects(git: DiffGit, converted: ReadonlyMap<string, Change>): Promise<Map<Change, string>> {
  const objects = new Map<Change, string>();
  let rest = "";
  await git.check(["ls-files", "--stage", "-z"], {
    onStdout: (bytes) => {
      const lines = (rest + bytes.toString("latin1")).split("\0");
      rest = lines.pop() ?? "";
      for (const line of lines) {
        const [, object = "", , name = ""] = line.split(/[ \t]/);
        const change = converted.get(name);
        if (change) objects.set(change, object);
      }
    },
  });
  return objects;
}
