import type { ChangesetGroup } from "../spec/batch-spec.ts";
import type { FileDiff } from "./parse-diff.ts";

export interface GroupedDiff {
  readonly branch: string;
  readonly files: readonly FileDiff[];
}

export type GroupedDiffs =
  | { readonly diffs: readonly GroupedDiff[]; readonly problem?: undefined }
  | { readonly diffs?: undefined; readonly problem: string };

/**
 * Splits the changes of a repository by directory. The last group that matches a file wins; files without a group belong
 * to the branch of the template. Branches without changes are left out.
 */
export function groupDiff(
  files: readonly FileDiff[],
  groups: readonly ChangesetGroup[],
  repository: string,
  branches: {
    /** The branch of the template as the spec has it. */
    readonly template: string;
    readonly rendered: string;
  },
): GroupedDiffs {
  const own = groups.filter((group) => group.repository === undefined || group.repository === repository);
  const names = new Set([branches.template, branches.rendered]);
  for (const { branch } of own) {
    if (names.has(branch)) return { problem: `the branch ${JSON.stringify(branch)} of transformChanges is used twice` };
    names.add(branch);
  }
  const grouped = new Map<string, FileDiff[]>();
  for (const branch of [branches.rendered, ...own.map((group) => group.branch)]) grouped.set(branch, []);
  for (const file of files) {
    const group = own.findLast(({ directory }) => file.newPath.startsWith(prefixOf(directory)));
    grouped.get(group?.branch ?? branches.rendered)?.push(file);
  }
  const diffs = [...grouped].map(([branch, changed]) => ({ branch, files: changed }));
  return { diffs: diffs.filter((diff) => diff.files.length > 0) };
}

/** `./services/a/` and `services/a` are the same directory. */
function prefixOf(directory: string): string {
  return `${directory.replace(/^[~./]+/, "").replace(/\/+$/, "")}/`;
}
