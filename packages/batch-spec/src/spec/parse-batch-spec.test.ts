import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { exampleSpec, shortSpec } from "../testing/example-spec.ts";
import { formatSpecProblem, parseBatchSpec } from "./parse-batch-spec.ts";

function problemsOf(text: string): readonly string[] {
  return (parseBatchSpec(text).problems ?? []).map((problem) => formatSpecProblem(problem, "s"));
}

function specOf(text: string) {
  expect(problemsOf(text)).toEqual([]);
  const { spec } = parseBatchSpec(text);
  if (!spec) throw new Error("no spec");
  return spec;
}

describe("parseBatchSpec", () => {
  test("a spec with most fields is read whole", () => {
    const spec = specOf(exampleSpec);
    expect(spec).toMatchObject({
      version: 2,
      name: "bump-logger",
      description: "Replace the old logger",
      on: [
        { kind: "query", query: "old-logger lang:go" },
        { kind: "repository", repository: "git.example/acme/core", branches: ["main", "release-1"] },
      ],
      workspaces: [{ rootAtLocationOf: "go.mod", in: "git.example/acme/*", onlyFetchWorkspace: true }],
      groups: [{ directory: "services/a", branch: "bump-logger-a" }],
    });
    const [first, second] = spec.steps;
    expect(first?.env).toEqual([{ name: "GOPROXY" }, { name: "MODE", value: "fast" }]);
    expect([...(first?.files ?? [])]).toEqual([["/etc/tool.json", '{"branch": "${{ repository.branch }}"}']]);
    expect(first?.outputs.get("summary")).toEqual({ value: "${{ step.stdout }}", format: "json" });
    expect(second?.if).toBe('${{ matches repository.name "git.example/acme/*" }}');
    expect(spec.changesetTemplate?.published).toEqual([
      { repository: "git.example/acme/*", value: "draft" },
      { repository: "git.example/acme/core", branch: "bump-logger-a", value: true },
    ]);
  });

  test("JSON, nulls and absent fields give the same spec as YAML without them", () => {
    const json = JSON.stringify({ name: "n", on: null, steps: null, importChangesets: null, description: null });
    expect(specOf(json)).toEqual(specOf("name: n"));
    expect(specOf("name: n")).toMatchObject({ version: 1, steps: [], changesetTemplate: undefined });
  });

  test("merge keys and anchors are resolved", () => {
    const spec = specOf(
      shortSpec("  - <<: &base {container: alpine, env: {A: x}}\n    run: one\n  - {<<: *base, run: two}\n"),
    );
    expect(spec.steps.map(({ run, container }) => [run, container])).toEqual([
      ["true", "alpine"],
      ["one", "alpine"],
      ["two", "alpine"],
    ]);
  });

  test("`on`, `yes` and `no` stay text, as YAML 1.2 has it", () => {
    expect(specOf(shortSpec("    env: {on: yes, n: no}\n")).steps[0]?.env).toEqual([
      { name: "on", value: "yes" },
      { name: "n", value: "no" },
    ]);
  });

  test("external ids may be numbers and texts", () => {
    const spec = specOf("name: n\nimportChangesets:\n  - repository: r\n    externalIDs: [12, abc]\n");
    expect(spec.importChangesets).toEqual([{ repository: "r", externalIDs: ["12", "abc"] }]);
  });

  test("version 3 has images, agents and hooks", () => {
    const spec = specOf(`version: 3
name: n
steps:
  - {run: x, image: alpine}
  - codingAgent: {type: codex, prompt: p}
  - buildImage: {run: r, baseImage: b}
changesetTemplate: {title: t, branch: b, commit: {message: m}}
changesetHooks:
  onCIFailure: {steps: [{run: fix, image: alpine, maxAttempts: 2}]}
`);
    expect(spec.steps[0]?.container).toBe("alpine");
    expect(spec.changesetHooks?.onCIFailure?.[0]?.maxAttempts).toBe(2);
  });

  test.each([
    ["name: a b", "s:1:7: name: must consist of letters, digits, `_`, `.` and `-` only"],
    ["description: x", "s:1:1: name: is missing: it must be text"],
    ["name: n\nversion: 4", "s:2:10: version: must be 1, 2 or 3, not the number 4"],
    ["name: n\nname: m", "s:2:1: this field appears twice"],
    ["name: n\nstpes: []", 's:2:1: stpes: unknown field "stpes"; did you mean "steps"? (fields allowed here: '],
    ["name: n\non: x", 's:2:5: on: must be a list, not the text "x"'],
    ["name: n\non:\n  - {}", "s:3:5: on[0]: needs either `repository` or `repositoriesMatchingQuery`"],
    [
      "name: n\non:\n  - {repository: a, branch: b, branches: [c]}",
      "s:3:21: on[0].branch: `branch` and `branches` exclude",
    ],
    [
      "name: n\non:\n  - {repository: a, branches: [b, b]}",
      's:3:35: on[0].branches[1]: the branch "b" is listed twice',
    ],
    [
      "name: n\non:\n  - {repositoriesMatchingQuery: a, branch: b}",
      "s:3:36: on[0].branch: `branch` needs `repository`",
    ],
    ["name: n\nsteps:\n  - {run: x, container: y}", "s:2:1: steps: steps need a `changesetTemplate`"],
    [shortSpec("    imag: x\n"), 's:7:5: steps[0].imag: unknown field "imag"; did you mean "image"?'],
    [shortSpec("    image: x\n"), "s:7:5: steps[0].image: `image` needs `version: 3` (write `container`)"],
    [shortSpec("  - run: x\n"), "s:7:5: steps[1].container: is missing: it must be the name of an image"],
    [shortSpec("  - container: x\n"), "s:7:5: steps[1].run: is missing: it must be text"],
    [shortSpec("    env: {A: 1}\n"), 's:7:14: steps[0].env.A: must be text, not the number 1 (put it in quotes: "1")'],
    [shortSpec("    env: [{A: x, B: y}]\n"), "s:7:11: steps[0].env[0]: must be one name, or one name with one value"],
    [
      shortSpec("    outputs: {o: {value: v, format: jsn}}\n"),
      "steps[0].outputs.o.format: must be one of json, yaml, text (did you mean",
    ],
    [shortSpec("    mount: [{path: 'a,b', mountpoint: /x}]\n"), 'steps[0].mount[0].path: must not contain ","'],
    [shortSpec("    files: {'/a,readonly=false': x}\n"), 'steps[0].files./a,readonly=false: must not contain ","'],
    [shortSpec("    codingAgent: {type: codex, prompt: p}\n"), "`codingAgent` needs `version: 3`"],
    [
      shortSpec("", "  published: drft\n"),
      'changesetTemplate.published: must be true or false, a list or "draft", not the text "drft" (did you mean "draft"?)',
    ],
    [
      shortSpec("", "  published: [{a: true, b: false}]\n"),
      "changesetTemplate.published[0]: must have exactly one pattern",
    ],
    [shortSpec("", "changesetHooks: {}\n"), "changesetHooks: changeset hooks need `version: 3`"],
    [
      "name: n\nimportChangesets: [{repository: r, externalIDs: [1, '1']}]",
      "importChangesets[0].externalIDs[1]: 1 is listed twice",
    ],
    [
      "name: n\nimportChangesets: [{repository: r, externalIDs: [12345678901234567890]}]",
      "too large to be kept exactly (put it in quotes)",
    ],
    [
      shortSpec("    if: ${{ reposiotry.name }}\n"),
      's:7:9: steps[0].if: unknown variable or function "reposiotry"; did you mean "repository"? (line 1, column 5',
    ],
    [shortSpec("    env: [{A: '${{ step.stdot }}'}]\n"), 'unknown variable "step.stdot"; did you mean "step.stdout"?'],
    [shortSpec("    files: {/a: '${{ end }}'}\n"), "steps[0].files./a: unexpected `end`"],
    [
      shortSpec("    outputs: {o: {value: '${{ batch_change_link }}'}}\n"),
      'steps[0].outputs.o.value: unknown variable or function "batch_change_link"',
    ],
    [
      shortSpec().replace("title: t", "title: ${{ previous_step.stdout }}"),
      'changesetTemplate.title: unknown variable or function "previous_step"',
    ],
    [shortSpec("", "  published: [{'[a': true}]\n"), 'the glob "[a" has an unclosed `[`'],
    [
      "name: n\nworkspaces: [{rootAtLocationOf: x, in: '{a'}]",
      's:2:40: workspaces[0].in: the glob "{a" has an unclosed `{`',
    ],
    ["", "s:1:1: is empty"],
    ["name: n\n---\nname: m", "a second document begins here"],
    ["name: *x", 's:1:7: no anchor named "x"'],
    ["__proto__: 1\nname: n", 'the name "__proto__" is not allowed'],
    ["\tname: n", "YAML does not allow tabs here"],
  ])("a fault is reported with its place and the next step (%#)", (text, expected) => {
    expect(problemsOf(text).join("\n")).toContain(expected);
  });

  test("all problems are reported at once, in the order of the text", () => {
    expect(problemsOf("name: a b\non: 3\nsteps: 4").map((line) => line.slice(0, 5))).toEqual([
      "s:1:7",
      "s:2:5",
      "s:3:8",
    ]);
  });
});

describe("hostile text", () => {
  const aliasBomb = [
    "a0: &a0 [x, x, x, x, x, x, x, x, x]",
    ...Array.from({ length: 9 }, (_, i) => `a${i + 1}: &a${i + 1} [${Array(9).fill(`*a${i}`).join(", ")}]`),
  ].join("\n");

  test.each([
    ["an alias bomb", aliasBomb, "too many aliases"],
    ["many aliases", `a: &a x\nb: [${Array(200).fill("*a").join(", ")}]`, "too many aliases"],
    ["nested brackets", "[".repeat(20_000), "nested too deeply"],
    ["brackets up to the limit", "[".repeat(256 * 1024), "nested too deeply"],
    [
      "nested maps",
      `name: n\ndescription:${Array.from({ length: 100 }, (_, i) => `\n${" ".repeat(i + 1)}a:`).join("")}`,
      "nested too deeply",
    ],
    ["10 MB", "a".repeat(10_000_000), "is longer than 256 Ki characters"],
    ["many fields", Array.from({ length: 5_000 }, (_, i) => `k${i}: 1`).join("\n"), 'unknown field "k0"'],
  ])("%s ends with an error and not with a crash", (_, text, expected) => {
    const problems = problemsOf(text);
    expect(problems.join("\n")).toContain(expected);
    expect(problems.length).toBeLessThanOrEqual(100);
  });

  test("any text gives a spec or problems", () => {
    const fragments = fc.constantFrom(
      "name: n\n",
      "steps:\n",
      "  - ",
      "run: x\n",
      "{",
      "}",
      "[",
      "]",
      "&a ",
      "*a",
      "<<: ",
      "? ",
      "|\n",
      "'",
      '"',
      "!!int ",
      "---\n",
      "\t",
      "\0",
      "\u2028",
    );
    fc.assert(
      fc.property(fc.array(fc.oneof(fragments, fc.string()), { maxLength: 20 }), (parts) => {
        const { spec, problems } = parseBatchSpec(parts.join(""));
        expect(spec === undefined).toBe((problems?.length ?? 0) > 0);
      }),
      { numRuns: 200 },
    );
  });
});
