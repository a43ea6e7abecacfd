import { AirlockError } from "@airlock/job";
import { ProgramError } from "@airlock/process";
import type { GitOptions } from "./checkout-git.ts";
import { type ChangedPath, listChanges } from "./working-tree.ts";

const mostNamed = 5;

/**
 * One sentence about the files of a checkout that are not committed, with the first few names. `undefined` if there are
 * none, or if git can't tell.
 */
export async function describeUncommitted(root: string, options: GitOptions): Promise<string | undefined> {
  let changes: readonly ChangedPath[];
  try {
    changes = await listChanges(root, options);
  } catch (error) {
    // A bare repository, a missing git, or a checkout of another user. The job can run anyway.
    if (error instanceof ProgramError || error instanceof AirlockError) return undefined;
    throw error;
  }
  if (changes.length === 0) return undefined;
  const what = describeChanges(changes);
  return `the job runs the commit, without uncommitted changes in ${root}: ${what}. --dirty includes them`;
}

/** `2 changed, 1 untracked (a, b, c)`. */
export function describeChanges(changes: readonly ChangedPath[]): string {
  const untracked = changes.filter(({ kind }) => kind === "untracked").length;
  const changed = changes.length - untracked;
  const counts = [changed > 0 && `${changed} changed`, untracked > 0 && `${untracked} untracked`].filter(Boolean);
  const shown = changes.slice(0, mostNamed).map(({ path }) => path.toString());
  const more = changes.length > mostNamed ? ", …" : "";
  return `${counts.join(", ")} (${shown.join(", ")}${more})`;
}
