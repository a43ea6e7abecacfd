import { isObjectId } from "@airlock/git";
import { AirlockError } from "@airlock/job";
import type { MirrorSource } from "../../workspace/cache/mirror.ts";
import type { Git } from "../../workspace/checkout/git.ts";
import { testVmError } from "./test-vm-error.ts";

/**
 * Finds the commit of a branch or tag at the repository's source. A full commit id stays as it is.
 * @throws {AirlockError} code `test-vm` when the repository has no such revision.
 */
export async function findRevision(
  git: Git,
  { url, headers }: MirrorSource,
  revision: string,
  signal: AbortSignal,
): Promise<string> {
  if (isObjectId(revision)) return revision;
  if (!/^(?!-)[^\s*?[\\^~:\p{Cc}]{1,200}$/u.test(revision)) {
    throw testVmError(`"${revision.slice(0, 100)}" is not a revision`, "Name a branch, a tag or a full commit id.");
  }
  const names = revision === "HEAD" ? ["HEAD"] : [`refs/heads/${revision}`, `refs/tags/${revision}`];
  // A tag object's commit follows it, with `^{}` behind the name.
  const patterns = [...names, ...names.map((name) => `${name}^{}`)];
  const credentials = { url, headers };
  const { stdout } = await git.check(["ls-remote", "--quiet", "--", url.href, ...patterns], { signal, credentials });
  const found = new Map(
    stdout.split("\n").map((line) => {
      const [id = "", name = ""] = line.split("\t");
      return [name, id];
    }),
  );
  for (const name of names) {
    const id = found.get(`${name}^{}`) ?? found.get(name);
    if (id !== undefined && isObjectId(id)) return id;
  }
  throw testVmError(
    `the repository has no branch or tag "${revision}"`,
    "Name another one with --revision, or a full commit id.",
  );
}

/** Adds what an administrator can do to the error of a source that refuses a test machine. */
export function explainSource(error: unknown, isOfInstance: boolean): unknown {
  if (!(error instanceof AirlockError) || !isOfInstance || !/\b(?:401|403)\b/.test(error.message)) return error;
  const hint =
    "An instance gives its repositories to running jobs only. Name the repository by its address at the code host: --repo https://…";
  return testVmError("the instance does not give the repository to an executor without a job", hint, error);
}
