import { createHash } from "node:crypto";
import { isObjectId } from "@airlock/git";
import { checkoutInvalid } from "./checkout-errors.ts";
import { isPlainPath } from "./plain-path.ts";

/** What a job asks for, as its submitter wrote it. */
export interface CheckoutInput {
  readonly repository: string;
  readonly commit: string;
  /** Relative to the workspace. */
  readonly directory: string;
  /** Commits of history, the job's own included; `null`: all of them. */
  readonly depth: number | null;
  /** `reachable`: those that lead to a commit of the history. */
  readonly tags: "none" | "reachable" | "all";
  /** Patterns as in `.gitignore`; empty: everything. */
  readonly sparse: readonly string[];
}

/** Which part of a repository a workspace holds. Checked: safe to hand to git and to build paths from. */
export interface CheckoutRequest extends CheckoutInput {
  /** 40 or 64 hex digits. */
  readonly commit: string;
  /** Relative to the workspace; empty: the workspace itself. */
  readonly directory: string;
}

/** @throws {AirlockError} reason `checkout-invalid`. */
export function checkoutRequest(input: CheckoutInput): CheckoutRequest {
  const { repository, commit, sparse } = input;
  if (!isPlainPath(repository)) throw checkoutInvalid(`"${repository}" is not a repository's name`);
  // Anything but a full id could be read as an option, or as a name that moves.
  if (!isObjectId(commit)) {
    throw checkoutInvalid(
      `"${commit.slice(0, 100)}" is not a commit's full id`,
      "A job names 40 or 64 hexadecimal digits.",
    );
  }
  const directory = input.directory.replace(/^(?:\.\/+)+|\/+$/g, "").replace(/^\.$/, "");
  if (directory !== "" && (!isPlainPath(directory) || directory.split("/").includes(".git"))) {
    throw checkoutInvalid(`"${input.directory}" is not a directory inside the workspace`);
  }
  if (sparse.some((pattern) => /[\n\r\0]/.test(pattern))) {
    throw checkoutInvalid("a pattern of the sparse checkout contains a line break");
  }
  return { ...input, directory };
}

export function digest(...parts: readonly string[]): string {
  return createHash("sha256").update(JSON.stringify(parts)).digest("hex").slice(0, 16);
}
