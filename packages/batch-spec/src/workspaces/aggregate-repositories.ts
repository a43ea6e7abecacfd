import type { OnRule } from "../spec/batch-spec.ts";

/** A branch of a repository that a rule of `on` has found. */
export interface RepositoryBranch {
  readonly repository: string;
  readonly branch: string;
}

/** What one rule of `on` has found, in the order of the spec. */
export interface RuleResult<Found extends RepositoryBranch> {
  readonly rule: OnRule;
  readonly found: readonly Found[];
}

/**
 * Combines what the rules have found. For each repository the last rule wins, but a query never replaces what an explicit
 * `repository` has found. So two explicit rules for one repository don't add up: one rule with `branches` does that.
 * The result is sorted by repository and branch.
 */
export function aggregateRepositories<Found extends RepositoryBranch>(
  results: readonly RuleResult<Found>[],
): readonly Found[] {
  const chosen = new Map<string, { readonly explicit: boolean; readonly found: Found[] }>();
  for (const { rule, found } of results) {
    const explicit = rule.kind === "repository";
    const own = new Map<string, Found[]>();
    for (const item of found) own.set(item.repository, [...(own.get(item.repository) ?? []), item]);
    for (const [repository, items] of own) {
      if (!explicit && chosen.get(repository)?.explicit) continue;
      chosen.set(repository, { explicit, found: items });
    }
  }
  return [...chosen.values()]
    .flatMap(({ found }) => found)
    .sort((a, b) => compare(a.repository, b.repository) || compare(a.branch, b.branch));
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
