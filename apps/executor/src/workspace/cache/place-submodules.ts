import { appendFile, lstat, readdir } from "node:fs/promises";
import { join } from "node:path";
import { AirlockError } from "@airlock/job";
import { runProgram } from "@airlock/process";
import { checkoutInvalid } from "../checkout/checkout-errors.ts";
import type { HeldCheckout } from "./held-checkout.ts";

/** A submodule whose checkout is on this machine and ready to be placed. */
export interface HeldSubmodule {
  readonly name: string;
  /** Relative to the root of the outermost repository. Has only ordinary components. */
  readonly path: string;
  /** 40 or 64 hex digits. */
  readonly commit: string;
  /**
   * Path of the repository that contains this submodule, from the outermost root; empty for the outermost repository.
   */
  readonly parent: string;
  readonly repository: string;
  readonly base: HeldCheckout;
}

/** Key that distinguishes checkouts of the same commit with different submodules. */
export function submodulesKey(submodules: readonly HeldSubmodule[]): string[] {
  return submodules.flatMap(({ path, name, commit, repository }) => [path, name, commit, repository]);
}

/**
 * Copies submodules to their paths in a checkout that no step has touched. Each path must be an empty directory below
 * real directories. A submodule that a sparse checkout leaves out is skipped.
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

/** Git configuration by which git in a step treats the submodule as initialized. */
function configEntry({ name, repository }: HeldSubmodule): string {
  const quoted = (text: string) => `"${text.replace(/["\\]/g, "\\$&")}"`;
  return `[submodule ${quoted(name)}]\n\tactive = true\n\turl = ${quoted(repository)}\n`;
}
