import { describe, expect, test } from "vitest";
import { exampleSpec, shortSpec } from "../testing/example-spec.ts";
import { validSpec } from "../testing/parse-example.ts";
import { type CacheKeyInput, cacheKey, cacheKeyText } from "./cache-key.ts";
import { goJson, sortedMap } from "./go-json.ts";

const input: CacheKeyInput = {
  repository: {
    id: "UmVwb3NpdG9yeTo0Mg==",
    name: "git.example/acme/core",
    baseRef: "refs/heads/main",
    baseRevision: "0".repeat(40),
    searchResultPaths: ["b", "a"],
  },
  path: "services/a",
  onlyFetchWorkspace: true,
  batchChange: { name: "bump-logger", description: "" },
  steps: validSpec(exampleSpec).steps,
  stepIndex: 0,
  outer: new Map([
    ["GOPROXY", "off"],
    ["UNRELATED", "x"],
  ]),
  mounts: [],
};

describe("cacheKey", () => {
  test("the hashed text has the form of the original", () => {
    expect(cacheKeyText(input)).toBe(
      '{"Repository":{"ID":"UmVwb3NpdG9yeTo0Mg==","Name":"git.example/acme/core","BaseRef":"refs/heads/main",' +
        `"BaseRev":"${"0".repeat(40)}","FileMatches":["a","b"]},"Path":"services/a","OnlyFetchWorkspace":true,"Steps":[` +
        '{"run":"tool --repo \\"${{ repository.name }}\\" ${{ join repository.search_result_paths \\" \\" }}",' +
        '"container":"golang:1.22-alpine","env":["GOPROXY",{"MODE":"fast"}],' +
        '"files":{"/etc/tool.json":"{\\"branch\\": \\"${{ repository.branch }}\\"}"},' +
        '"outputs":{"summary":{"value":"${{ step.stdout }}","format":"json"}},' +
        '"mount":[{"mountpoint":"/usr/local/bin/tool","path":"./tool.sh"}]}],' +
        '"BatchChangeAttributes":{"Name":"bump-logger","Description":""},"StepIndex":0,' +
        '"Environments":[{"GOPROXY":"off","MODE":"fast"}]}',
    );
  });

  test("the key is 22 characters and the index of the step", async () => {
    expect(await cacheKey(input)).toMatch(/^[\w-]{22}-step-0$/);
    expect(await cacheKey({ ...input, stepIndex: 1 })).toMatch(/-step-1$/);
  });

  test("only what a step sees changes its key", async () => {
    const key = await cacheKey(input);
    const same = [
      {
        outer: new Map([
          ["GOPROXY", "off"],
          ["UNRELATED", "y"],
        ]),
      },
      { repository: { ...input.repository, searchResultPaths: ["a", "b"] } },
      { steps: input.steps.slice(0, 1) },
    ];
    const other = [
      { outer: new Map([["GOPROXY", "direct"]]) },
      { repository: { ...input.repository, baseRevision: "1".repeat(40) } },
      { mounts: [{ path: "tool.sh", size: 3, modified: "2026-01-02T03:04:05.5Z" }] },
      { path: "" },
      { batchChange: { name: "other", description: "" } },
    ];
    for (const change of same) expect(await cacheKey({ ...input, ...change })).toBe(key);
    for (const change of other) expect(await cacheKey({ ...input, ...change })).not.toBe(key);
  });

  test("variables of a job are no part of the key", async () => {
    const { steps } = validSpec(
      shortSpec("    env: [SRC_EXECUTOR_JOB_TOKEN, SRC_EXECUTOR_JOB_ID, SRC_EXECUTOR_NAME]\n"),
    );
    const one = await cacheKey({ ...input, steps, outer: new Map([["SRC_EXECUTOR_JOB_ID", "1"]]) });
    expect(await cacheKey({ ...input, steps, outer: new Map([["SRC_EXECUTOR_JOB_ID", "2"]]) })).toBe(one);
  });
});

test("JSON is written as Go's encoding/json does", () => {
  expect(goJson('<a href="x">&\u2028\u2029\u0001\b\f\n\r\t\u007fü😀\ud800\\')).toBe(
    '"\\u003ca href=\\"x\\"\\u003e\\u0026\\u2028\\u2029\\u0001\\b\\f\\n\\r\\t\u007fü😀\ufffd\\\\"',
  );
  expect(
    goJson(
      sortedMap([
        ["9", 1],
        ["10", 2],
        ["\uffff", 3],
        ["😀", 4],
        ["a", 5],
      ]),
    ),
  ).toBe('{"10":2,"9":1,"a":5,"\uffff":3,"😀":4}');
});
