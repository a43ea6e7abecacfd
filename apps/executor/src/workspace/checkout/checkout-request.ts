import { createHash } from "node:crypto";
import type { JobPayload } from "@airlock/api";
import { checkoutInvalid } from "./checkout-errors.ts";
import { isPlainPath } from "./plain-path.ts";

/** What of a repository a workspace holds. Checked: safe to hand to git and to build paths from. */
export interface CheckoutRequest {
  readonly repository: string;
  /** 40 or 64 hex digits. */
  readonly commit: string;
  /** Relative to the workspace; empty: the workspace itself. */
  readonly directory: string;
  /** Without history. */
  readonly shallow: boolean;
  readonly tags: boolean;
  /** Patterns as in `.gitignore`; empty: everything. */
  readonly sparse: readonly string[];
}

/** @throws {AirlockError} reason `checkout-invalid`. `undefined`: the job has no repository. */
export function checkoutRequest(payload: JobPayload): CheckoutRequest | undefined {
  const { repositoryName, commit, repositoryDirectory, sparseCheckout } = payload;
  if (repositoryName === "") return undefined;
  if (!isPlainPath(repositoryName)) throw checkoutInvalid(`"${repositoryName}" is not a repository's name`);
  // Anything but a full id could be read as an option, or as a name that moves.
  if (!/^(?:[0-9a-f]{40}|[0-9a-f]{64})$/.test(commit)) {
    throw checkoutInvalid(
      `"${commit.slice(0, 100)}" is not a commit's full id`,
      "A job names 40 or 64 hexadecimal digits.",
    );
  }
  const directory = repositoryDirectory.replace(/^(?:\.\/+)+|\/+$/g, "").replace(/^\.$/, "");
  if (directory !== "" && (!isPlainPath(directory) || directory.split("/").includes(".git"))) {
    throw checkoutInvalid(`"${repositoryDirectory}" is not a directory inside the workspace`);
  }
  if (sparseCheckout.some((pattern) => /[\n\r\0]/.test(pattern))) {
    throw checkoutInvalid("a pattern of the sparse checkout contains a line break");
  }
  return {
    repository: repositoryName,
    commit,
    directory,
    shallow: payload.shallowClone,
    tags: payload.fetchTags,
    sparse: sparseCheckout,
  };
}

export function digest(...parts: readonly string[]): string {
  return createHash("sha256").update(JSON.stringify(parts)).digest("hex").slice(0, 16);
}
