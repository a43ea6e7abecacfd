import { describe, expect, test } from "vitest";
import { exampleSpec, shortSpec } from "../testing/example-spec.ts";
import { validSpec } from "../testing/parse-example.ts";
import { aggregateRepositories } from "./aggregate-repositories.ts";
import { findWorkspaces, type RepositoryFacts, workspaceRuleFor } from "./find-workspaces.ts";

const query = { kind: "query", query: "q" } as const;
const explicit = (repository: string, ...branches: string[]) => ({ kind: "repository", repository, branches }) as const;
const at = (repository: string, branch = "main", searchResultPaths: string[] = []) => ({
  repository,
  branch,
  searchResultPaths,
});

function facts(repository: string, rest: Partial<RepositoryFacts> = {}): RepositoryFacts {
  return { ...at(repository), rootFiles: [], hasBatchIgnore: false, isSupported: true, ...rest };
}

describe("aggregateRepositories", () => {
  test("a query does not replace what a repository rule has found, before or after it", () => {
    const core = [at("core", "main"), at("core", "release-1")];
    const before = aggregateRepositories([
      { rule: query, found: [at("core"), at("other")] },
      { rule: explicit("core", "main", "release-1"), found: core },
    ]);
    const after = aggregateRepositories([
      { rule: explicit("core", "main", "release-1"), found: core },
      { rule: query, found: [at("core"), at("other")] },
    ]);
    expect(before).toEqual([...core, at("other")]);
    expect(after).toEqual(before);
  });

  test("a later rule replaces an earlier one, so two rules for one repository don't add up", () => {
    expect(
      aggregateRepositories([
        { rule: explicit("core", "a"), found: [at("core", "a")] },
        { rule: explicit("core", "b"), found: [at("core", "b")] },
      ]),
    ).toEqual([at("core", "b")]);
    expect(
      aggregateRepositories([
        { rule: query, found: [at("core", "main", ["x"])] },
        { rule: query, found: [at("core", "main", ["y"])] },
      ]),
    ).toEqual([at("core", "main", ["y"])]);
  });
});

describe("findWorkspaces", () => {
  const spec = validSpec(exampleSpec);

  test("each go.mod is a workspace, with its own search results", () => {
    const repository = "git.example/acme/core";
    const { workspaces, problems } = findWorkspaces(spec, [
      facts(repository, {
        branch: "release-1",
        rootFiles: ["go.mod", "services/a/go.mod", "services/a/not-go.mod"],
        searchResultPaths: ["main.go", "services/a/x.go", "services/ab/y.go"],
      }),
      facts(repository, { rootFiles: ["services/a/go.mod"] }),
    ]);
    expect(problems).toEqual([]);
    expect(workspaces).toMatchObject([
      {
        path: "",
        branch: "release-1",
        onlyFetchWorkspace: false,
        searchResultPaths: ["main.go", "services/a/x.go", "services/ab/y.go"],
      },
      { path: "services/a", branch: "main", onlyFetchWorkspace: true, searchResultPaths: [] },
      { path: "services/a", branch: "release-1", onlyFetchWorkspace: true, searchResultPaths: ["services/a/x.go"] },
    ]);
  });

  test("a repository without the file has no workspace, and one that no item matches has its root", () => {
    const { workspaces } = findWorkspaces(spec, [facts("git.example/acme/empty"), facts("elsewhere/x")]);
    expect(workspaces).toMatchObject([{ repository: "elsewhere/x", path: "", onlyFetchWorkspace: false }]);
  });

  test("steps that are known to be skipped are listed by repository", () => {
    const { workspaces } = findWorkspaces(spec, [
      facts("elsewhere/x"),
      facts("git.example/acme/core", { rootFiles: ["go.mod"] }),
    ]);
    expect(workspaces.map(({ repository, skippedSteps }) => [repository, skippedSteps])).toEqual([
      ["elsewhere/x", [1]],
      ["git.example/acme/core", []],
    ]);
  });

  test("workspaces in which every step is skipped are left out", () => {
    const skipping = validSpec(shortSpec('    if: ${{ eq repository.name "a" }}\n'));
    const repositories = [facts("a"), facts("b")];
    expect(findWorkspaces(skipping, repositories).workspaces.map(({ repository }) => repository)).toEqual(["a"]);
    expect(findWorkspaces(skipping, repositories, { keepSkipped: true }).workspaces).toHaveLength(2);
  });

  test("a repository that several items match is a problem, and the others stay", () => {
    const twice = validSpec("name: n\nworkspaces: [{rootAtLocationOf: a, in: 'x/*'}, {rootAtLocationOf: b}]");
    const { workspaces, problems } = findWorkspaces(twice, [
      facts("x/y"),
      facts("x/y"),
      facts("z", { rootFiles: ["d/b"] }),
    ]);
    expect(problems).toEqual(['x/y matches several items of `workspaces`: "x/*", "*". Make the globs exclusive.']);
    expect(workspaces).toMatchObject([{ repository: "z", path: "d" }]);
    expect(workspaceRuleFor(twice, "z").rule?.rootAtLocationOf).toBe("b");
  });

  test(".batchignore and code hosts without changesets are marked", () => {
    const { workspaces } = findWorkspaces(validSpec("name: n"), [
      facts("a", { hasBatchIgnore: true }),
      facts("b", { isSupported: false }),
    ]);
    expect(workspaces.map(({ ignored, unsupported }) => [ignored, unsupported])).toEqual([
      [true, false],
      [false, true],
    ]);
  });
});
