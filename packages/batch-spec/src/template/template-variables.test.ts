import { describe, expect, test } from "vitest";
import { renderTemplate } from "./render-template.ts";
import { parseStepOutput } from "./step-outputs.ts";
import { changesetVariables, noChangedFiles, type StepTemplateFacts, stepVariables } from "./template-variables.ts";
import type { Value } from "./values.ts";

function output(text: string, format: "json" | "yaml" | "text"): Value {
  const { value, problem } = parseStepOutput(text, format);
  if (value === undefined) throw new Error(problem);
  return value;
}

const changedFiles = { ...noChangedFiles, modified: ["x", "y"], added: ["a", "b"] };
const facts: StepTemplateFacts = {
  repository: { name: "h/a/b", branch: "refs/heads/main", searchResultPaths: ["b", "a"] },
  batchChange: { name: "change", description: "why" },
  path: "web",
  outputs: new Map([
    ["list", output('["one"]', "json")],
    ["obj", output('{"field": "deep"}', "json")],
    ["n", output("3", "json")],
    ["whole", output("3", "yaml")],
    ["float", output("3.0", "yaml")],
    ["text", output("3\n", "text")],
    ["large", output("12345678901234567890", "yaml")],
  ]),
  changedFiles,
  previousStep: { changedFiles, stdout: "before\n", stderr: "" },
  step: { changedFiles, stdout: 'now "1"\n', stderr: "warn" },
};

describe("stepVariables", () => {
  test.each([
    ["${{ previous_step.added_files }}", "[a b]"],
    ['${{ join previous_step.added_files "," }}', "a,b"],
    ["${{ repository.search_result_paths }}", "a b"],
    ["${{ range $i, $f := previous_step.modified_files }}${{ $i }}=${{ $f }};${{ end }}", "0=x;1=y;"],
    ["${{ index outputs.list 0 }}", "one"],
    ["${{ outputs.obj.field }}", "deep"],
    ['${{ "${{" }} github.sha }}', "${{ github.sha }}"],
    ['a ${{- "x" -}} b', "axb"],
    ['${{ printf "%q" step.stdout }}', '"now \\"1\\"\\n"'],
    ['${{ replace repository.name "/" "-" | printf "pre-%s" }}', "pre-h-a-b"],
    ["${{ repository.branch }} ${{ batch_change.name }} ${{ batch_change.description }}", "main change why"],
    ["${{ steps.path }} ${{ steps.modified_files }} ${{ steps.deleted_files }}", "web [x y] []"],
    [
      "${{ outputs.n }} ${{ eq outputs.n 3.0 }} ${{ eq outputs.whole 3 }} ${{ eq outputs.float 3.0 }}",
      "3 true true true",
    ],
    ["${{ outputs.text }}|${{ outputs.large }}", "3\n|1.2345678901234567e+19"],
  ])("%s renders as in the original", (template, expected) => {
    expect(renderTemplate(template, stepVariables(facts)).text).toBe(expected);
  });

  test.each([
    ["${{ repository.nope }}", 'there is no entry "nope"'],
    ["${{ nope }}", 'unknown variable or function "nope"'],
    ["${{ index outputs.list 1 }}", "index out of range: 1"],
    ["${{ outputs.obj.missing }}", 'there is no entry "missing"'],
    ["${{ outputs.missing }}", 'there is no entry "missing"'],
    ["${{ eq outputs.n 3 }}", "write 3.0 instead of 3"],
    ["${{ batch_change_link }}", "unknown variable"],
  ])("%s is an error", (template, expected) => {
    expect(renderTemplate(template, stepVariables(facts)).problem?.message).toContain(expected);
  });

  test("without a previous step its values are empty", () => {
    const variables = stepVariables({ ...facts, previousStep: undefined, step: undefined });
    expect(renderTemplate("${{ previous_step.stdout }}${{ step.stderr }}${{ step.added_files }}", variables).text).toBe(
      "[]",
    );
  });
});

describe("changesetVariables", () => {
  test("the link renders to itself, and steps are not known", () => {
    const variables = changesetVariables(facts);
    expect(renderTemplate("See ${{ batch_change_link }}", variables).text).toBe("See ${{ batch_change_link }}");
    expect(renderTemplate("${{ previous_step.stdout }}", variables).problem).toBeDefined();
  });
});

describe("parseStepOutput", () => {
  test.each([
    ["{", "json", "is not JSON: "],
    ["[".repeat(100) + "]".repeat(100), "json", "is nested deeper than 64 levels"],
    ["a: [", "yaml", "is not YAML: line 1: "],
  ] as const)("%j as %s is refused", (text, format, problem) => {
    expect(parseStepOutput(text, format).problem).toContain(problem);
  });

  test("an empty YAML output is nil, and absent formats are text", () => {
    expect(parseStepOutput(" \n", "yaml")).toEqual({ value: null });
    expect(parseStepOutput("# nothing", "yaml")).toEqual({ value: null });
    expect(parseStepOutput("{", undefined)).toEqual({ value: "{" });
  });
});
