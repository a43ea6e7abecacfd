import { isObjectId } from "@airlock/git";
import { checkoutLimit } from "./checkout-errors.ts";
import type { Git, GitOptions } from "./git.ts";

/** A tag as it is at its source now. */
export interface Tag {
  /** Begins with `refs/tags/`. */
  readonly name: string;
  /** Id of the tag object, or of the commit if there is no tag object. */
  readonly id: string;
  /** Id of the object that the tag finally leads to, nearly always a commit. */
  readonly target: string;
}

/** Limits the memory for tags, since a hostile repository may have any number of them, with long names. */
const maximumTags = 100_000;
const maximumNamesLength = 8 * 2 ** 20;

/**
 * Lists the tags of a repository at its source.
 * @throws {AirlockError} `checkout-limit`, and as `Git.check` does.
 */
export async function listTags(git: Git, at: readonly string[], url: URL, options: GitOptions): Promise<Tag[]> {
  let namesLength = 0;
  const tags = new Map<string, { id: string; target: string }>();
  await readLines(git, [...at, "ls-remote", "--quiet", "--tags", url.href], options, (line) => {
    const [, id = "", name = "", peeled] = /^([0-9a-f]+)\t(refs\/tags\/[^^\n]+)(\^\{\})?$/.exec(line) ?? [];
    if (!isObjectId(id)) return;
    namesLength += name.length;
    const tag = tags.get(name) ?? { id, target: id };
    // The line with `^{}` follows the tag's own line.
    tags.set(name, peeled ? { ...tag, target: id } : tag);
    if (tags.size > maximumTags || namesLength > maximumNamesLength) {
      throw checkoutLimit(`the repository has more than ${maximumTags} tags, or their names are too long in total`);
    }
  });
  return [...tags].map(([name, tag]) => ({ name, ...tag }));
}

/** Returns the tags that lead to a commit in the repository's history of `commit`, sorted by name. */
export async function reachableTags(
  git: Git,
  at: readonly string[],
  commit: string,
  tags: readonly Tag[],
  options: GitOptions,
): Promise<Tag[]> {
  if (tags.length === 0) return [];
  const byTarget = Map.groupBy(tags, ({ target }) => target);
  const found: Tag[] = [];
  // Streamed, because a history may have millions of commits.
  await readLines(
    git,
    [...at, "rev-list", commit, "--"],
    options,
    (id) => void found.push(...(byTarget.get(id) ?? [])),
  );
  return found.sort((a, b) => (a.name < b.name ? -1 : 1));
}

async function readLines(git: Git, args: readonly string[], options: GitOptions, onLine: (line: string) => void) {
  let rest = "";
  await git.check(args, {
    ...options,
    onStdout: (bytes) => {
      const lines = (rest + bytes.toString("latin1")).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) onLine(line);
    },
  });
}
