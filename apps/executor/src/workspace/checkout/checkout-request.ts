import { createHash } from "node:crypto";
import { isObjectId } from "@airlock/git";
import { checkoutInvalid } from "./checkout-errors.ts";
import { isPlainPath } from "./plain-path.ts";

/** The checkout that a job asks for, as its submitter wrote it. */
export interface CheckoutInput {
  readonly repository: string;
  readonly commit: string;
  /** Relative to the workspace. */
  readonly directory: string;
  /** Number of commits of history, including the job's own; `null`: all of them. */
  readonly depth: number | null;
  /** `reachable`: tags that lead to a commit of the history. */
  readonly tags: "none" | "reachable" | "all";
  /** Patterns with the syntax of `.gitignore`; empty: all files. */
  readonly sparse: readonly string[];
}

/** The part of a repository that a workspace has. Validated: safe to pass to git and to build paths from. */
export interface CheckoutRequest extends CheckoutInput {
  /** 40 or 64 hex digits. */
  readonly commit: string;
  /** Relative to the workspace; empty: the workspace itself. */
  readonly directory: string;
}

/** @throws {AirlockError} reason `checkout-invalid`. */
export function checkoutRequest(input: CheckoutInput): CheckoutRequest {
  const { repository, commit, sparse } = input;
  if (!isPlainPath(repository)) throw checkoutInvalid(`"${repository}" is not a repository name`);
  // Git could read anything but a full id as an option, or as a name that moves.
  if (!isObjectId(commit)) {
    throw checkoutInvalid(
      `"${commit.slice(0, 100)}" is not a full commit id`,
      "It must be 40 or 64 hexadecimal digits.",
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
