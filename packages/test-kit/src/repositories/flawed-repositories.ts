import { mkdir } from "node:fs/promises";
import { runGit } from "./run-git.ts";

const person = "A U Thor <author@example.com>";
const time = "1767225600 +0000";

/** Author lines of commits, by the class under which `git fsck` reports them. */
const authors = {
  badDate: `${person} yesterday +0000`,
  badDateOverflow: `${person} 99999999999999999999 +0000`,
  badEmail: `A U Thor <author@example.com ${time}`,
  badName: `A U > Thor <author@example.com> ${time}`,
  badTimezone: `${person} 1767225600 +00000`,
  missingEmail: `A U Thor ${time}`,
  missingNameBeforeEmail: `<author@example.com> ${time}`,
  missingSpaceBeforeDate: `${person}${time}`,
  missingSpaceBeforeEmail: `A U<author@example.com> ${time}`,
  multipleAuthors: `${person} ${time}\nauthor ${person} ${time}`,
  nulInCommit: `${person} ${time}`,
  zeroPaddedDate: `${person} 01767225600 +0000`,
} as const;

/** The lines of a tag object after its type, by class of `git fsck`. */
const tags = {
  badTagName: `tag bad..name\ntagger ${person} ${time}`,
  missingTaggerEntry: "tag v1",
} as const;

/** Mode and name of a tree's only entry, by class of `git fsck`. */
const entries = {
  badFilemode: "100753 file",
  zeroPaddedFilemode: "0100644 file",
  hasDotgit: "100644 .git",
} as const;

/** A class of `git fsck`. */
export type RepositoryFlaw = keyof typeof authors | keyof typeof tags | keyof typeof entries;

export interface FlawedRepository {
  /** The commit of `main`. */
  readonly head: string;
  /** The flawed object itself. */
  readonly object: string;
}

/**
 * Creates a bare repository at `path` with one object that `git fsck` reports, as old tools have written them. `main`
 * or the tag `v1` leads to it.
 */
export async function makeFlawedRepository(flaw: RepositoryFlaw, path: string): Promise<FlawedRepository> {
  await mkdir(path, { recursive: true });
  const git = (args: readonly string[], input: Buffer | string = "") => runGit(path, args, input);
  const write = (type: string, content: Buffer | string) =>
    git(["hash-object", "-w", "-t", type, "--stdin", "--literally"], content);
  await git(["init", "--quiet", "--bare", "--initial-branch=main"]);
  const blob = await write("blob", "content\n");
  const entry = Buffer.from(isOf(entries, flaw) ? entries[flaw] : "100644 file");
  const tree = await write("tree", Buffer.concat([entry, Buffer.from([0]), Buffer.from(blob, "hex")]));
  const author = isOf(authors, flaw) ? authors[flaw] : `${person} ${time}`;
  const message = flaw === "nulInCommit" ? "One\0more\n" : "One\n";
  const head = await write("commit", `tree ${tree}\nauthor ${author}\ncommitter ${person} ${time}\n\n${message}`);
  await git(["update-ref", "refs/heads/main", head]);
  if (!isOf(tags, flaw)) return { head, object: isOf(entries, flaw) ? tree : head };
  const object = await write("tag", `object ${head}\ntype commit\n${tags[flaw]}\n\nRelease\n`);
  await git(["update-ref", "refs/tags/v1", object]);
  return { head, object };
}

function isOf<T extends object>(flaws: T, flaw: PropertyKey): flaw is keyof T {
  return Object.hasOwn(flaws, flaw);
}
