import { describe, expect, test } from "vitest";
import { goJson } from "../cache/go-json.ts";
import { noChangedFiles } from "../template/template-variables.ts";
import { exampleSpec } from "../testing/example-spec.ts";
import { validSpec } from "../testing/parse-example.ts";
import { type ExecutionInput, executionInputText, parseExecutionInput } from "./execution-input.ts";
import { parseStepResult, type StepResult, stepResultJson } from "./step-result.ts";

const result: StepResult = {
  stepIndex: 0,
  changedFiles: { ...noChangedFiles, modified: ["a"] },
  stdout: "hello\n",
  stderr: "warn\n",
  diff: Uint8Array.from([100, 255, 10]),
  outputs: new Map([["n", 3.5]]),
  skipped: false,
};

const input: ExecutionInput = {
  batchChange: { name: "bump-logger", description: "…" },
  repository: { id: "UmVwb3NpdG9yeTo0Mg==", name: "git.example/acme/core" },
  branch: "refs/heads/main",
  revision: "0".repeat(40),
  path: "services/a",
  onlyFetchWorkspace: true,
  steps: validSpec(exampleSpec).steps,
  searchResultPaths: ["services/a/main.go"],
  cachedResult: undefined,
  skippedSteps: [1],
};

describe("execution input", () => {
  test("the example has the form of the original", () => {
    const [step] = validSpec(
      "name: n\nsteps: [{run: go mod tidy, container: 'golang:1.22-alpine'}]\nchangesetTemplate: {title: t, branch: b, commit: {message: m}}",
    ).steps;
    if (!step) throw new Error("no step");
    expect(executionInputText({ ...input, steps: [step] })).toBe(
      '{"BatchChangeAttributes":{"Name":"bump-logger","Description":"…"},' +
        '"repository":{"id":"UmVwb3NpdG9yeTo0Mg==","name":"git.example/acme/core"},' +
        `"branch":{"name":"refs/heads/main","target":{"oid":"${"0".repeat(40)}"}},` +
        '"path":"services/a","onlyFetchWorkspace":true,' +
        '"steps":[{"run":"go mod tidy","container":"golang:1.22-alpine","env":{}}],' +
        '"searchResultPaths":["services/a/main.go"],"cachedStepResultFound":false,' +
        '"cachedStepResult":{"changedFiles":{"modified":null,"added":null,"deleted":null,"renamed":null},' +
        '"stdout":"","stderr":"","stepIndex":0,"diff":"","outputs":null},"skippedSteps":{"1":{}}}',
    );
  });

  test("what is written is read again", () => {
    for (const cachedResult of [undefined, result]) {
      expect(parseExecutionInput(executionInputText({ ...input, cachedResult })).input).toEqual({
        ...input,
        cachedResult,
      });
    }
  });

  test.each([
    ["{", "is not JSON"],
    ["{}", "repository: "],
    [executionInputText({ ...input, steps: [] }), "steps: has no steps"],
    [executionInputText(input).replace('"container":"golang:1.22-alpine"', '"container":3'), "steps.0.container: "],
    [executionInputText(input).replace('{"1":{}}', '{"x":{}}'), "skippedSteps.x: "],
    [
      executionInputText(input).replace('Found":false', 'Found":true').replace('"stepIndex":0', '"stepIndex":-1'),
      "cachedStepResult.stepIndex: ",
    ],
  ])("a faulty input is refused with the name of the field (%#)", (text, problem) => {
    expect(parseExecutionInput(text).problem).toContain(problem);
  });

  test("unknown fields and nulls are accepted", () => {
    const text = executionInputText(input).replace('"steps":[{', '"later":1,"steps":[{"later":2,"files":null,');
    expect(parseExecutionInput(text).input?.steps).toHaveLength(2);
  });
});

describe("step results", () => {
  test("version 2 has the form of the original", () => {
    expect(goJson(stepResultJson(result))).toBe(
      '{"version":2,"changedFiles":{"modified":["a"],"added":[],"deleted":[],"renamed":[]},"stdout":"hello\\n",' +
        '"stderr":"warn\\n","stepIndex":0,"diff":"ZP8K","outputs":{"n":3.5},"skipped":false}',
    );
  });

  test("versions 1 and 2 are read", () => {
    expect(parseStepResult(JSON.parse(goJson(stepResultJson(result)))).result).toEqual(result);
    const old = {
      changedFiles: { modified: null, added: null },
      stdout: "",
      stderr: "",
      stepIndex: 1,
      diff: "ü\n",
      outputs: null,
    };
    expect(parseStepResult(old).result).toMatchObject({
      stepIndex: 1,
      changedFiles: noChangedFiles,
      diff: new TextEncoder().encode("ü\n"),
      outputs: new Map(),
    });
    expect(parseStepResult({ version: 2, stepIndex: 3, skipped: true }).result).toMatchObject({ skipped: true });
  });

  test.each([
    [null, "the result: "],
    [{ stepIndex: 0, version: 3 }, "version: "],
    [{ stepIndex: 0, version: 2, diff: "%" }, "diff: is not base64"],
    [
      { stepIndex: 0, outputs: { deep: JSON.parse("[".repeat(200) + "]".repeat(200)) } },
      "outputs.deep: is nested too deeply",
    ],
  ])("a faulty result is refused (%#)", (json, problem) => {
    expect(parseStepResult(json).problem).toContain(problem);
  });
});
