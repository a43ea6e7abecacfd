import { describe, expect, test } from "vitest";
import { noChangedFiles, type StepTemplateFacts } from "../template/template-variables.ts";
import { exampleSpec, shortSpec } from "../testing/example-spec.ts";
import { validSpec } from "../testing/parse-example.ts";
import { mountPath } from "./mount-path.ts";
import { evaluateOutputs, prepareStep, requiredVariables } from "./prepare-step.ts";

const facts: StepTemplateFacts = {
  repository: { name: "git.example/acme/core", branch: "main", searchResultPaths: ["a.go", "b.go"] },
  batchChange: { name: "bump-logger", description: "" },
  path: "",
  outputs: new Map(),
  changedFiles: noChangedFiles,
  previousStep: undefined,
  step: { changedFiles: noChangedFiles, stdout: '{"count": 3}\n', stderr: "" },
};

function firstStep(text: string) {
  const [step] = validSpec(text).steps;
  if (!step) throw new Error("no step");
  return step;
}

describe("prepareStep", () => {
  test("script, image, environment and files are rendered", () => {
    expect(
      prepareStep(
        firstStep(exampleSpec),
        facts,
        new Map([
          ["GOPROXY", "https://proxy"],
          ["OTHER", "x"],
        ]),
      ),
    ).toEqual({
      kind: "run",
      step: {
        script: 'tool --repo "git.example/acme/core" a.go b.go',
        image: "golang:1.22-alpine",
        environment: [
          ["GOPROXY", "https://proxy"],
          ["MODE", "fast"],
        ],
        files: new Map([["/etc/tool.json", '{"branch": "main"}']]),
      },
    });
  });

  test.each([
    ["if: false", "skip"],
    ["if: true", "run"],
    ["if: ''", "run"],
    ["if: ' true '", "run"],
    ['if: ${{ eq previous_step.stdout "x" }}', "skip"],
    ["if: ${{ not previous_step.modified_files }}", "run"],
    ["if: yes", "skip"],
  ])("a step with %s leads to %s", (condition, kind) => {
    expect(prepareStep(firstStep(shortSpec(`    ${condition}\n`)), facts, new Map()).kind).toBe(kind);
  });

  test("a template that fails at run time names its field", () => {
    const step = firstStep(shortSpec("    env: {A: '${{ outputs.missing }}'}\n"));
    expect(prepareStep(step, facts, new Map())).toEqual({
      kind: "problem",
      field: "env.A",
      message: 'line 1, column 5: there is no entry "missing"',
    });
  });

  test("variables from outside that are missing are empty", () => {
    const step = firstStep(shortSpec("    env: [MISSING]\n"));
    expect(prepareStep(step, facts, new Map())).toMatchObject({ step: { environment: [["MISSING", ""]] } });
    expect(requiredVariables(validSpec(exampleSpec))).toEqual(["GOPROXY"]);
  });
});

describe("evaluateOutputs", () => {
  test("outputs add up, and later ones of the same name win", () => {
    const step = firstStep(exampleSpec);
    const { outputs } = evaluateOutputs(step, {
      ...facts,
      outputs: new Map([
        ["old", "x"],
        ["summary", "y"],
      ]),
    });
    expect([...(outputs ?? [])].map(([name]) => name)).toEqual(["old", "summary"]);
    const title = firstStep(shortSpec("    outputs: {t: {value: '${{ outputs.summary.count }} sites'}}\n"));
    expect(evaluateOutputs(title, { ...facts, outputs: outputs ?? new Map() }).outputs?.get("t")).toBe("3 sites");
  });

  test("output that is not JSON is a problem of the field", () => {
    const step = firstStep(exampleSpec);
    const noJson = { ...facts, step: { changedFiles: noChangedFiles, stdout: "oops", stderr: "" } };
    expect(evaluateOutputs(step, noJson).problem).toMatchObject({ field: "outputs.summary.value" });
  });
});

describe("mountPath", () => {
  test.each([
    ["./tool.sh", "tool.sh"],
    ["a/../b//c/.", "b/c"],
    [".", ""],
    ["/specs/x/y", "x/y"],
    ["/specs", ""],
  ])("%s is %s below the spec's directory", (path, expected) => {
    expect(mountPath(path, "/specs/")).toEqual({ path: expected });
  });

  test.each(["..", "a/../../b", "/etc/passwd", "/specs-other/x", "a\0b"])("%j is refused", (path) => {
    expect(mountPath(path, "/specs").problem).toBeTypeOf("string");
  });
});
