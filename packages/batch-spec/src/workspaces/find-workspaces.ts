import type { BatchSpec, WorkspaceRule } from "../spec/batch-spec.ts";
import { Glob } from "../template/glob.ts";
import { evaluateCondition } from "../template/static-evaluation.ts";
import type { RepositoryBranch } from "./aggregate-repositories.ts";

/** A repository at one commit, with the facts that decide about its workspaces. */
export interface RepositoryFacts extends RepositoryBranch {
  /** Paths that the query has found. */
  readonly searchResultPaths: readonly string[];
  /** Paths of all files with the name that `workspaceRuleFor` asks for. Empty if it asks for none. */
  readonly rootFiles: readonly string[];
  /** Whether the commit has a regular file `.batchignore` at its root. */
  readonly hasBatchIgnore: boolean;
  /** Whether the repository's code host can have changesets. */
  readonly isSupported: boolean;
}

export interface Workspace extends RepositoryBranch {
  /** Directory in the repository. Empty for its root. */
  readonly path: string;
  readonly onlyFetchWorkspace: boolean;
  readonly searchResultPaths: readonly string[];
  readonly ignored: boolean;
  readonly unsupported: boolean;
  /** Indexes of the steps of which the condition is known to be false. */
  readonly skippedSteps: readonly number[];
}

export type RuleChoice =
  | { readonly rule: WorkspaceRule | undefined; readonly problem?: undefined }
  | { readonly rule?: undefined; readonly problem: string };

/** The rule of `workspaces` for a repository. More than one is an error. Without one, the root is the only workspace. */
export function workspaceRuleFor(spec: BatchSpec, repository: string): RuleChoice {
  const rules = spec.workspaces.filter((rule) => rule.in === undefined || new Glob(rule.in).matches(repository));
  const [rule, second] = rules;
  if (rule && second) {
    const shown = rules.map((one) => JSON.stringify(one.in ?? "*")).join(", ");
    return { problem: `${repository} matches several items of \`workspaces\`: ${shown}. Make the globs exclusive.` };
  }
  return { rule };
}

export interface FoundWorkspaces {
  readonly workspaces: readonly Workspace[];
  /** One sentence for each repository that has no workspaces because of a fault. */
  readonly problems: readonly string[];
}

/**
 * Finds the workspaces of a spec. Workspaces without a step to run are left out, unless `keepSkipped` is set. The result
 * is sorted by repository, path and branch.
 */
export function findWorkspaces(
  spec: BatchSpec,
  repositories: readonly RepositoryFacts[],
  { keepSkipped = false } = {},
): FoundWorkspaces {
  const problems: string[] = [];
  const workspaces: Workspace[] = [];
  const skippedSteps = new Map<string, readonly number[]>();
  for (const facts of repositories) {
    const { rule, problem } = workspaceRuleFor(spec, facts.repository);
    if (problem !== undefined) {
      if (!problems.includes(problem)) problems.push(problem);
      continue;
    }
    const skipped = skippedSteps.get(facts.repository) ?? staticallySkippedSteps(spec, facts.repository);
    skippedSteps.set(facts.repository, skipped);
    if (!keepSkipped && spec.steps.length > 0 && skipped.length === spec.steps.length) continue;
    for (const path of rule ? directoriesOf(rule, facts.rootFiles) : [""]) {
      workspaces.push({
        repository: facts.repository,
        branch: facts.branch,
        path,
        onlyFetchWorkspace: path !== "" && (rule?.onlyFetchWorkspace ?? false),
        searchResultPaths: facts.searchResultPaths.filter((file) => path === "" || file.startsWith(`${path}/`)),
        ignored: facts.hasBatchIgnore,
        unsupported: !facts.isSupported,
        skippedSteps: skipped,
      });
    }
  }
  workspaces.sort(
    (a, b) => compare(a.repository, b.repository) || compare(a.path, b.path) || compare(a.branch, b.branch),
  );
  return { workspaces, problems };
}

/** Indexes of the steps that a repository skips, as far as their conditions are known before the steps run. */
export function staticallySkippedSteps(spec: BatchSpec, repository: string): readonly number[] {
  const facts = { repository: { name: repository }, batchChange: spec };
  return spec.steps.flatMap((step, index) => (evaluateCondition(step.if, facts) === false ? [index] : []));
}

function directoriesOf({ rootAtLocationOf }: WorkspaceRule, files: readonly string[]): ReadonlySet<string> {
  const directories = new Set<string>();
  for (const file of files) {
    const slash = file.lastIndexOf("/");
    if (file.slice(slash + 1) === rootAtLocationOf) directories.add(slash < 0 ? "" : file.slice(0, slash));
  }
  return directories;
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
