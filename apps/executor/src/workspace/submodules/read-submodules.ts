import { checkoutInvalid } from "../checkout/checkout-errors.ts";
import type { Git } from "../checkout/git.ts";
import { isPlainPath } from "../checkout/plain-path.ts";

/** A submodule of a commit. Except for the commit, the values are what the author wrote, after validation. */
export interface Submodule {
  readonly name: string;
  /** Relative to the repository. Has only ordinary components, and exists in the commit's tree. */
  readonly path: string;
  readonly url: string;
  /** 40 or 64 hex digits. */
  readonly commit: string;
}

const maximumFileBytes = 256 * 1024;
const maximumOutput = 1024 * 1024 - 1;

/**
 * Reads the submodules of a commit. The tree determines which exist and where. `.gitmodules` determines where they come
 * from. As in git, a submodule without an entry there is left out.
 * @throws {AirlockError} reason `checkout-invalid` for names and paths that were used in attacks on git.
 */
export async function readSubmodules(
  { git, gitDir, signal }: { readonly git: Git; readonly gitDir: string; readonly signal: AbortSignal },
  commit: string,
  maximum: number,
): Promise<Submodule[]> {
  const at = [`--git-dir=${gitDir}`];
  const { stdout } = await git.check([...at, "ls-tree", "-l", "-z", "--full-tree", commit, "--", ".gitmodules"], {
    signal,
  });
  if (stdout === "") return [];
  const [mode = "", , object = "", size = ""] = stdout.split(/[ \t]+/);
  if (mode !== "100644" && mode !== "100755") throw checkoutInvalid(".gitmodules is not a file");
  if (Number(size) > maximumFileBytes) throw checkoutInvalid(".gitmodules is too large");

  const entries = await readEntries(git, at, object, signal);
  const links = await readLinks(git, at, commit, maximum, signal);
  const submodules: Submodule[] = [];
  for (const [name, { path, url }] of entries) {
    const linked = path === undefined ? undefined : links.get(path);
    if (path === undefined || url === undefined || linked === undefined) continue;
    if (!isPlainPath(name))
      throw checkoutInvalid(`a submodule's name ${JSON.stringify(name.slice(0, 100))} is not safe`);
    if (path.startsWith("-") || !isPlainPath(path) || path.split("/").some((part) => part.toLowerCase() === ".git")) {
      throw checkoutInvalid(`a submodule's path ${JSON.stringify(path.slice(0, 100))} is not safe`);
    }
    if (submodules.some((other) => other.path === path)) {
      throw checkoutInvalid(`two submodules have the path ${JSON.stringify(path)}`);
    }
    submodules.push({ name, path, url, commit: linked });
  }
  return submodules.sort((a, b) => (a.path < b.path ? -1 : 1));
}

async function readEntries(git: Git, at: readonly string[], object: string, signal: AbortSignal) {
  const entries = new Map<string, { path?: string; url?: string }>();
  // Without includes, since they would name files of this machine.
  const { exitCode, stdout, stderr } = await git.run(
    [...at, "config", "--no-includes", `--blob=${object}`, "-z", "--get-regexp", "^submodule\\..*\\.(path|url)$"],
    { signal },
  );
  // Exit code 1: there are no entries, or the file is invalid. For an invalid file, git prints an error.
  if (exitCode === 1 && stderr === "") return entries;
  if (exitCode !== 0 || stdout.length >= maximumOutput) throw checkoutInvalid(".gitmodules cannot be read");
  for (const line of stdout.split("\0")) {
    const end = line.indexOf("\n");
    const match = /^submodule\.([\s\S]*)\.(path|url)$/.exec(line.slice(0, end));
    if (end < 0 || !match) continue;
    const [, name = "", member = ""] = match;
    const entry = entries.get(name) ?? {};
    // The first value counts, because a reviewer of the file would see it first.
    if (member === "path") entry.path ??= line.slice(end + 1);
    else entry.url ??= line.slice(end + 1);
    entries.set(name, entry);
  }
  return entries;
}

/** Commit ids by their path in the tree. */
async function readLinks(git: Git, at: readonly string[], commit: string, maximum: number, signal: AbortSignal) {
  const links = new Map<string, string>();
  let rest = "";
  await git.check([...at, "ls-tree", "-r", "-z", "--full-tree", commit], {
    signal,
    onStdout: (bytes) => {
      const lines = (rest + bytes.toString("latin1")).split("\0");
      rest = lines.pop() ?? "";
      for (const line of lines) {
        const [, object] = /^160000 commit ([0-9a-f]{40}|[0-9a-f]{64})\t/.exec(line) ?? [];
        if (object && links.size <= maximum) {
          links.set(Buffer.from(line.slice(line.indexOf("\t") + 1), "latin1").toString(), object);
        }
      }
    },
  });
  if (links.size > maximum) throw checkoutInvalid(`the commit has more than ${maximum} submodules`);
  return links;
}
