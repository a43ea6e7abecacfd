import { ProgramError } from "@airlock/process";
import { UsageError } from "../context/command-error.ts";
import { checkoutGit } from "./checkout-git.ts";
import { commitWorkingTree } from "./commit-working-tree.ts";

/** A commit in a checkout on this machine. */
export interface LocalSource {
  readonly root: string;
  readonly commit: string;
  /** What the commit is, for people. Not escaped. */
  readonly description: string;
}

export interface LocalSourceOptions {
  readonly revision: string;
  /** Leave out what is not committed. */
  readonly committed: boolean;
  /** The person's environment. */
  readonly env: NodeJS.ProcessEnv;
}

/**
 * The commit that a job gets from the checkout around `directory`. For HEAD, that is the working tree.
 * @throws {UsageError} if it is not a checkout, or has no such revision. @throws {AirlockError} `working-tree`.
 */
export async function localSource(
  directory: string,
  { revision, committed, env }: LocalSourceOptions,
): Promise<LocalSource> {
  const root = await gitText(directory, ["rev-parse", "--show-toplevel"], env);
  if (root === undefined) {
    throw new UsageError(
      `${directory} is not in a git checkout`,
      "Give the path of one with --repo PATH, or remove `repository` from the job.",
    );
  }
  if (revision === "HEAD" && !committed) {
    const taken = await commitWorkingTree(root, { env }, undefined, {
      subject: "airlock run",
      without: "run with --committed",
    });
    if (taken) return { root, commit: taken.commit, description: `HEAD with ${taken.description}` };
  }
  const commit = await gitText(root, ["rev-parse", "--verify", "--quiet", `${revision}^{commit}`], env);
  if (commit === undefined) throw new UsageError(`${root} has no commit "${revision}"`);
  return { root, commit, description: revision === "HEAD" ? `HEAD (${commit.slice(0, 12)})` : revision };
}

/** One line of git's output; `undefined` if git fails. */
async function gitText(root: string, args: readonly string[], env: NodeJS.ProcessEnv): Promise<string | undefined> {
  try {
    return (await checkoutGit(root, args, { env })).toString().replace(/\n$/, "");
  } catch (error) {
    if (error instanceof ProgramError && error.fault === "failed") return undefined;
    throw error;
  }
}
