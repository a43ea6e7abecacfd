import { appendFile, lstat, readdir } from "node:fs/promises";
import { join } from "node:path";
import { AirlockError } from "@airlock/job";
import { runProgram } from "@airlock/process";
import { checkoutInvalid } from "../checkout/checkout-errors.ts";
import type { HeldCheckout } from "./held-checkout.ts";

/** A submodule whose checkout is on this machine, ready to be placed. */
export interface HeldSubmodule {
  readonly name: string;
  /** From the root of the outermost repository, of ordinary components. */
  readonly path: string;
  /** 40 or 64 hex digits. */
  readonly commit: string;
  /** Path of the repository that this is a submodule of, from the outermost one's root; empty for that one. */
  readonly parent: string;
  readonly repository: string;
  readonly base: HeldCheckout;
}

/** Tells checkouts of one commit with different submodules apart. */
export function submodulesKey(submodules: readonly HeldSubmodule[]): string[] {
  return submodules.flatMap(({ path, name, commit, repository }) => [path, name, commit, repository]);
}

/**
 * Copies submodules to their places in a checkout that no step has touched. A place has to be an empty directory below
 * real directories; where a sparse checkout left it out, the submodule is left out, too.
 */
export async function placeSubmodules(
  worktree: string,
  submodules: readonly HeldSubmodule[],
  { path: searchPath, signal }: { readonly path: string; readonly signal: AbortSignal },
): Promise<void> {
  for (const submodule of submodules) {
    if (!(await isEmptyDirectory(worktree, submodule.path))) continue;
    const target = join(worktree, submodule.path);
    const argv = ["cp", "-a", "--reflink=auto", "--", `${submodule.base.tree}/.`, target];
    const { exitCode, stderr } = await runProgram(argv, { env: { PATH: searchPath, LC_ALL: "C" }, signal });
    if (exitCode !== 0) {
      throw new AirlockError(`copying the submodule ${submodule.path} failed: ${stderr.trim().slice(-300)}`, {
        code: "copy-failed",
        reason: "runtime",
      });
    }
    await appendFile(join(worktree, submodule.parent, ".git", "config"), configEntry(submodule));
  }
}

async function isEmptyDirectory(worktree: string, path: string): Promise<boolean> {
  let directory = worktree;
  for (const part of path.split("/")) {
    directory = join(directory, part);
    const found = await lstat(directory).catch((error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT") return undefined;
      throw error;
    });
    if (found === undefined) return false;
    if (!found.isDirectory()) throw checkoutInvalid(`the submodule ${JSON.stringify(path)} is behind a link or a file`);
  }
  const names = await readdir(directory);
  if (names.length > 0) throw checkoutInvalid(`the place of the submodule ${JSON.stringify(path)} is not empty`);
  return true;
}

/** So that git in a step knows it as initialised. */
function configEntry({ name, repository }: HeldSubmodule): string {
  const quoted = (text: string) => `"${text.replace(/["\\]/g, "\\$&")}"`;
  return `[submodule ${quoted(name)}]\n\tactive = true\n\turl = ${quoted(repository)}\n`;
}
