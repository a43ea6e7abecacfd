import { expect, test } from "vitest";
import { evaluateCondition, evaluateStatically } from "./static-evaluation.ts";

const facts = { repository: { name: "h/a/b" }, batchChange: { name: "n", description: "d" } };

test.each([
  [true, true],
  [false, false],
  [undefined, true],
  ["", true],
  ["true", true],
  ['${{ eq repository.name "h/a/b" }}', true],
  ['${{ eq repository.name "other" }}', false],
  ['${{ not (matches repository.name "h/x*") }}', true],
  ['${{ matches repository.name "h/*" }}', true],
  ["prefix ${{ repository.name }}", false],
  ['  ${{ ne batch_change.name "x" }}\n', true],
  ['${{ eq (replace repository.name "/" "-") "h-a-b" }}', true],
  ['${{ repository.name | eq "h/a/b" }}', true],
  ['${{ and (eq repository.name "h/a/b") true }}', undefined],
  ['${{ if eq repository.name "h/a/b" }}true${{ end }}', undefined],
  ['${{ eq previous_step.stdout "x" }}', undefined],
  ["${{ outputs.ok }}", undefined],
  ['${{ eq steps.path "web" }}', undefined],
  ["${{ repository.branch }}", undefined],
  ["${{ repository.search_result_paths }}", undefined],
  ['${{ eq repository.name "a" "h/a/b" }}', undefined],
  ['${{ $x := "true" }}${{ $x }}', undefined],
  ["${{ eq repository.name 1 }}", undefined],
  ["${{ nope }}", undefined],
  ["${{ unclosed", undefined],
])("the condition %j is %s for h/a/b", (condition, expected) => {
  expect(evaluateCondition(condition, facts)).toBe(expected);
});

test("image names are known in advance as far as they are static", () => {
  expect(evaluateStatically('alpine:${{ replace repository.name "/" "." }}', facts)).toBe("alpine:h.a.b");
  expect(evaluateStatically("alpine:${{ outputs.tag }}", facts)).toBeUndefined();
});
