import { checkoutGit, type GitOptions } from "./checkout-git.ts";

/** A path that differs from the checked-out commit. */
export interface ChangedPath {
  readonly kind: "tracked" | "untracked" | "unmerged";
  /** Relative to the checkout's root. Any bytes but NUL. */
  readonly path: Buffer;
  /** Whether the path is a submodule whose own working tree has changes or untracked files. */
  readonly isDirtySubmodule: boolean;
}

/** Lists what is not committed. Leaves out ignored files. */
export async function listChanges(root: string, options: GitOptions): Promise<ChangedPath[]> {
  const args = ["status", "--porcelain=v2", "-z", "--no-renames", "--untracked-files=all", "--ignore-submodules=none"];
  const output = await checkoutGit(root, args, options);
  return splitAtNul(output).flatMap((line) => parseLine(line) ?? []);
}

/**
 * One entry of `git status --porcelain=v2`: a kind, then fields, then the path after the last of a fixed number of
 * spaces.
 */
function parseLine(line: Buffer): ChangedPath | undefined {
  const kind = String.fromCharCode(line[0] ?? 0);
  const submodule = line.subarray(5, 9).toString("latin1");
  switch (kind) {
    case "1":
      return { kind: "tracked", path: afterSpaces(line, 8), isDirtySubmodule: /^S.(?:M.|.U)$/.test(submodule) };
    case "u":
      return { kind: "unmerged", path: afterSpaces(line, 10), isDirtySubmodule: false };
    case "?":
      return { kind: "untracked", path: line.subarray(2), isDirtySubmodule: false };
    default:
      return undefined;
  }
}

function afterSpaces(line: Buffer, count: number): Buffer {
  let at = 0;
  for (let seen = 0; seen < count; seen++) at = line.indexOf(" ", at) + 1;
  return line.subarray(at);
}

function splitAtNul(output: Buffer): Buffer[] {
  const parts: Buffer[] = [];
  for (let from = 0, to = output.indexOf(0); to !== -1; from = to + 1, to = output.indexOf(0, from)) {
    parts.push(output.subarray(from, to));
  }
  return parts;
}
