import { describe, expect, test } from "vitest";
import { parseDiff } from "../diff/parse-diff.ts";
import { outputFromJson } from "../template/step-outputs.ts";
import { exampleSpec, shortSpec } from "../testing/example-spec.ts";
import { validSpec } from "../testing/parse-example.ts";
import { branchNameProblem } from "./branch-name.ts";
import { buildChangesetSpecs, importedChangesetSpecs, publicationFor } from "./build-changeset-specs.ts";
import { findDuplicateBranches, parseChangesetSpec } from "./changeset-spec.ts";

const changed = (...names: string[]) =>
  names.map((name) => `diff --git ${name} ${name}\nold mode 100644\nnew mode 100755\n`).join("");

function input(diff: string, repository = "git.example/acme/core") {
  const { files } = parseDiff(diff);
  if (!files) throw new Error("no diff");
  return {
    workspace: {
      repository: { name: repository, branch: "main", searchResultPaths: [] },
      batchChange: { name: "bump-logger", description: "" },
      path: "",
      outputs: new Map([["summary", outputFromJson({ count: 3 }) ?? null]]),
    },
    repositoryId: "UmVwb3NpdG9yeTo0Mg==",
    baseRevision: "0".repeat(40),
    files,
    author: { name: "Ann", email: "ann@example.com" },
  };
}

describe("buildChangesetSpecs", () => {
  test("the example gives the printed changeset spec", () => {
    const { specs } = buildChangesetSpecs(validSpec(exampleSpec), input(changed("x")));
    expect(specs).toEqual([
      {
        baseRepository: "UmVwb3NpdG9yeTo0Mg==",
        headRepository: "UmVwb3NpdG9yeTo0Mg==",
        baseRef: "refs/heads/main",
        baseRev: "0".repeat(40),
        headRef: "refs/heads/bump-logger",
        title: "Logger: 3 call sites",
        body: "See ${{ batch_change_link }}",
        commits: [
          {
            version: 2,
            message: "Replace logger",
            diff: Buffer.from(changed("x")).toString("base64"),
            authorName: "Bot",
            authorEmail: "bot@example.com",
          },
        ],
        published: "draft",
      },
    ]);
    expect(parseChangesetSpec(specs?.[0]).problems).toBeUndefined();
  });

  test("groups split the diff, and the rules of publication look at the branch", () => {
    const diff = changed("services/a/x", "services/ab/y", "z");
    const { specs } = buildChangesetSpecs(validSpec(exampleSpec), input(diff));
    expect(specs?.map(({ headRef, published, commits }) => [headRef, published, atob(commits[0].diff)])).toEqual([
      ["refs/heads/bump-logger", "draft", changed("services/ab/y", "z")],
      ["refs/heads/bump-logger-a", true, changed("services/a/x")],
    ]);
  });

  test("without changes there is no changeset, and branches without changes are left out", () => {
    expect(buildChangesetSpecs(validSpec(exampleSpec), input("")).specs).toEqual([]);
    const { specs } = buildChangesetSpecs(validSpec(exampleSpec), input(changed("services/a/x")));
    expect(specs?.map(({ headRef }) => headRef)).toEqual(["refs/heads/bump-logger-a"]);
  });

  test("the last group that matches wins, and groups of other repositories don't count", () => {
    const spec = validSpec(
      shortSpec(
        "",
        `transformChanges:
  group:
    - {directory: ./a, branch: one}
    - {directory: a/b/, branch: two}
    - {directory: a, branch: other, repository: elsewhere}
`,
      ),
    );
    const { specs } = buildChangesetSpecs(spec, input(changed("a/x", "a/b/y", "ab/z")));
    expect(specs?.map(({ headRef, commits }) => [headRef, atob(commits[0].diff)])).toEqual([
      ["refs/heads/b", changed("ab/z")],
      ["refs/heads/one", changed("a/x")],
      ["refs/heads/two", changed("a/b/y")],
    ]);
  });

  test("a group that takes the template's branch is a problem", () => {
    const spec = validSpec(shortSpec("", "transformChanges: {group: [{directory: a, branch: b}]}\n"));
    expect(buildChangesetSpecs(spec, input(changed("a/x"))).problem).toEqual({
      field: "transformChanges.group",
      message: 'the branch "b" of transformChanges is used twice',
    });
  });

  test.each([
    ["title: t", "title: ' ${{ outputs.none }}'", "changesetTemplate.title", 'there is no entry "none"'],
    ["title: t", "title: '${{ \"\" }} '", "changesetTemplate.title", "is empty after rendering"],
    ["branch: b", "branch: 'a b'", "changesetTemplate.branch", '"a b" must not contain " "'],
  ])("a template that fails at run time names its field (%#)", (from, to, field, message) => {
    const { problem } = buildChangesetSpecs(validSpec(shortSpec().replace(from, to)), input(changed("x")));
    expect(problem?.field).toBe(field);
    expect(problem?.message).toContain(message);
  });

  test("changed files are known to the template, and the author falls back", () => {
    const spec = validSpec(
      shortSpec("", "  fork: true\n").replace("title: t", 'title: ${{ join steps.modified_files " " }}'),
    );
    const { specs } = buildChangesetSpecs(spec, input(changed("x", "y")));
    expect(specs).toMatchObject([{ title: "x y", fork: true, published: null, commits: [{ authorName: "Ann" }] }]);
  });
});

describe("publicationFor", () => {
  test.each([
    ["git.example/acme/core", "bump-logger-a", true],
    ["git.example/acme/core", "bump-logger", "draft"],
    ["git.example/acme/x/y", "bump-logger-a", "draft"],
    ["elsewhere", "bump-logger-a", undefined],
  ])("%s on %s is %s", (repository, branch, expected) => {
    const template = validSpec(exampleSpec).changesetTemplate;
    expect(template && publicationFor(template, repository, branch)).toBe(expected);
  });
});

test("imports give one spec for each changeset and name unknown repositories", () => {
  const spec = validSpec(
    "name: n\nimportChangesets: [{repository: a, externalIDs: [1, x]}, {repository: b, externalIDs: [2]}]",
  );
  expect(importedChangesetSpecs(spec, new Map([["a", "A"]]))).toEqual({
    specs: [
      { baseRepository: "A", externalID: "1" },
      { baseRepository: "A", externalID: "x" },
    ],
    problems: ['importChangesets: there is no repository "b"'],
  });
});

describe("parseChangesetSpec", () => {
  const valid = buildChangesetSpecs(validSpec(exampleSpec), input(changed("x"))).specs?.[0];
  const [commit] = valid?.commits ?? [];

  test("imports and version 1 are accepted", () => {
    expect(parseChangesetSpec({ baseRepository: "r", externalID: "3" }).problems).toBeUndefined();
    const { version: _, ...plain } = { ...commit, version: 1, diff: "diff --git a a\n" };
    expect(parseChangesetSpec({ ...valid, commits: [plain], published: undefined }).problems).toBeUndefined();
  });

  test.each([
    [{ headRepository: "x" }, "headRepository: must be the same as baseRepository"],
    [{ headRef: "main" }, 'headRef: must begin with "refs/heads/"'],
    [{ headRef: "refs/heads/a..b" }, 'headRef: must not contain ".." or "@{"'],
    [{ headRef: "refs/heads/main" }, "headRef: must not be the branch that the changeset is merged into"],
    [{ baseRev: "abc" }, "baseRev: is not a full commit id"],
    [{ title: " " }, "title: must not be empty"],
    [{ title: "x".repeat(256) }, "title: is longer than 255 characters"],
    [{ body: "x".repeat(65_537) }, "body: is longer than 65536 characters"],
    [{ commits: [] }, "commits: "],
    [{ commits: [{ ...commit, diff: "not base64!" }] }, "commits[0].diff: is not base64"],
    [
      { commits: [{ ...commit, authorName: "a\nb" }] },
      "commits[0].authorName: must not contain control characters, < or >",
    ],
    [{ published: "yes" }, "published: "],
    [{ extra: 1 }, "extra"],
  ])("a fault is named with its field (%#)", (change, expected) => {
    expect(parseChangesetSpec({ ...valid, ...change }).problems?.join("\n")).toContain(expected);
  });

  test("the same branch twice in one repository is a problem", () => {
    if (!valid) throw new Error("no spec");
    const other = { ...valid, baseRepository: "other", headRepository: "other" };
    expect(findDuplicateBranches([valid, other])).toEqual([]);
    expect(findDuplicateBranches([valid, other, valid])).toEqual([
      "2 changesets of UmVwb3NpdG9yeTo0Mg== have the branch refs/heads/bump-logger: put something of the workspace into `branch`",
    ]);
  });
});

test.each(["a", "feature/x-1", "ü", "a.b", "@a", "a@b"])("%s is a branch name", (name) => {
  expect(branchNameProblem(name)).toBeUndefined();
});

test.each([
  "",
  "a b",
  "a..b",
  "a~1",
  "^a",
  "a:b",
  "a?",
  "a*",
  "a[b",
  "a\\b",
  "/a",
  "a/",
  "a//b",
  ".a",
  "a/.b",
  "a.lock",
  "a.lock/b",
  "a.",
  "@",
  "a@{b",
  "-a",
  "HEAD",
  "a\u0007",
  "x".repeat(245),
])("%j is no branch name for git", (name) => {
  expect(branchNameProblem(name)).toBeTypeOf("string");
});
