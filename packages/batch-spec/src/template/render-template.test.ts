import { findGo, fuzzParameters } from "@airlock/test-kit";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import goResults from "../testing/go-results.json" with { type: "json" };
import { renderWithGo } from "../testing/run-go.ts";
import { fragmentsArbitrary, templateArbitrary } from "../testing/template-arbitrary.ts";
import { caseVariables, templateCases, untag } from "../testing/template-cases.ts";
import { renderTemplate } from "./render-template.ts";
import { List } from "./values.ts";

const variables = new Map(Object.entries(caseVariables).map(([name, value]) => [name, untag(value)]));
const go = await findGo().catch((error: Error) => error);

function render(text: string) {
  return renderTemplate(text, variables);
}

describe("renderTemplate", () => {
  test("every case gives the result of Go's text/template", () => {
    const results = Object.fromEntries(templateCases.map((text) => [text, render(text).text ?? null]));
    expect(results).toEqual(goResults);
  });

  test.each([
    ["${{ repository.nope }}", 1, 5, 'there is no entry "nope"; known here: branch, name, search_result_paths'],
    ["a\nb ${{ reposiotry.name }}", 2, 7, 'unknown variable or function "reposiotry"; did you mean "repository"?'],
    [
      "${{ eq outputs.n 3 }}",
      1,
      5,
      "float64 and int can't be compared; numbers from JSON are float64: write 3.0 instead of 3",
    ],
    ['${{ join outputs.list "," }}', 1, 10, "join: a list of text is expected, not a value of type []interface {}"],
    ["${{ if true }}", 1, 15, "`${{ end }}` is missing"],
    ["x ${{ repository.name", 1, 3, "this action is not closed: `}}` is missing"],
    ['${{ matches "a" "[" }}', 1, 5, 'the glob "[" has an unclosed `[`'],
    ["${{ $x = 1 }}", 1, 1, "unknown variable $x: `=` sets, `:=` declares"],
  ])("the fault in %j is explained with its place", (text, line, column, message) => {
    expect(render(text).problem).toEqual({ line, column, message });
  });

  test("bytes that are not UTF-8 keep their place and become U+FFFD in the result", () => {
    const values = new Map([
      ["raw", untag({ string: "" })],
      ["bytes", "a\xffb\xc3\xbc"],
    ]);
    expect(renderTemplate("${{ bytes }} ${{ len bytes }}", values).text).toBe("a\ufffdb\u00fc 5");
  });
});

describe.skipIf(go instanceof Error)(`Go's text/template${go instanceof Error ? ` [needs ${go.message}]` : ""}`, () => {
  test("Go and Airlock agree on the cases and on random templates", { timeout: 300_000 }, async () => {
    if (go instanceof Error) throw go;
    const { numRuns, seed } = fuzzParameters("templates and Go", 1_000);
    const random = [
      ...fc.sample(templateArbitrary, { numRuns, seed }),
      ...fc.sample(fragmentsArbitrary, { numRuns, seed }),
    ].filter((text) => !render(text).problem?.message.includes("not supported"));
    const results = await renderWithGo(go.path, [...templateCases, ...random]);
    expect(Object.fromEntries(templateCases.map((text, index) => [text, results[index]]))).toEqual(goResults);
    const differences = random
      .map((text, index) => ({
        text,
        // The program's type is named after its package.
        go: results[templateCases.length + index]?.replaceAll("main.bareList", "[]string") ?? null,
        airlock: render(text).text ?? null,
      }))
      .filter(({ go, airlock }) => go !== airlock);
    expect(differences).toEqual([]);
  });
});

describe("hostile templates", () => {
  test.each([
    ["a loop over a large number", "${{ range 1000000000000 }}x${{ end }}"],
    ["nested loops", `${"${{ range 1000 }}".repeat(10)}${"${{ end }}".repeat(10)}`],
    ["endless recursion", '${{ define "r" }}${{ template "r" }}${{ end }}${{ template "r" }}'],
    ["recursion that doubles", '${{ define "r" }}${{ template "r" }}${{ template "r" }}${{ end }}${{ template "r" }}'],
    ["text that doubles", `\${{ $s := "0123456789" }}${"${{ $s = print $s $s }}".repeat(100)}`],
    ["replacements that multiply", `\${{ $s := "aaaaaaaaaa" }}${'${{ $s = replace $s "a" $s }}'.repeat(50)}`],
    [
      "splits of long text",
      `\${{ $s := printf "%9999d" 1 }}${"${{ $s = print $s $s }}".repeat(8)}\${{ range 1000 }}\${{ $x := split $s "" }}\${{ end }}`,
    ],
    [
      "joins of long lists",
      `\${{ $s := printf "%9999d" 1 }}\${{ $l := split $s "" }}\${{ range 1000 }}\${{ $x := join $l "0123456789012345" }}\${{ end }}`,
    ],
    ["a huge width", '${{ printf "%1000000000d" 1 }}'],
    ["a huge width as an argument", '${{ printf "%*d" 1000000000 1 }}'],
    ["many wide verbs", `\${{ printf "${"%9999d".repeat(2000)}" ${"1 ".repeat(2000)}}}`],
    [
      "a slow glob",
      `\${{ $s := printf "%9999d" 1 }}\${{ range 10000 }}\${{ $x := matches $s "${"*0".repeat(100)}" }}\${{ end }}`,
    ],
    ["parentheses", `\${{ ${"(".repeat(10_000)} }}`],
    ["nested blocks", "${{ if true }}".repeat(10_000)],
    ["a chain of else", `\${{ if false }}${"${{ else if false }}".repeat(10_000)}\${{ end }}`],
    ["many variables", Array.from({ length: 40_000 }, (_, index) => `\${{ $v${index} := 1 }}`).join("")],
    ["a long template", "x".repeat(2_000_000)],
    ["a long pipeline that doubles", `\${{ "0123456789" ${'| printf "%[1]s%[1]s"'.repeat(100)} }}`],
  ])("%s ends with an error, in bounded time", (_, text) => {
    const started = performance.now();
    expect(render(text).problem?.message).toBeTypeOf("string");
    expect(performance.now() - started).toBeLessThan(10_000);
  });

  test("a long template with many short texts is no problem", () => {
    expect(render("          ${{ 1 }}".repeat(40_000)).text).toHaveLength(440_000);
  });

  test("long fields, lists and chains of operands are no problem", () => {
    expect(render(`\${{ print ${"1 ".repeat(10_000)}}}`).text).toHaveLength(19_999);
    expect(render(`\${{ 1 ${"| print ".repeat(5_000)}}}`).text).toBe("1");
    expect(render(`\${{ outputs.obj${".x".repeat(10_000)} }}`).problem?.message).toContain("there is no entry");
  });

  test("a caller's limits hold", () => {
    const limits = { maximumBytes: 10, maximumWork: 1_000 };
    expect(renderTemplate("0123456789", variables, limits).text).toBe("0123456789");
    expect(renderTemplate("01234567890", variables, limits).problem?.message).toBe(
      "the template makes more than 10 bytes",
    );
    expect(renderTemplate("${{ range 400 }}${{ end }}", variables, limits).text).toBe("");
    expect(renderTemplate("${{ range 1001 }}${{ end }}", variables, limits).problem?.message).toBe(
      "the template takes too long",
    );
  });

  test("any template ends with a text or a problem", () => {
    const list = new List(["a", 1n, null, 2.5], "any");
    const values = new Map([...variables, ["list", list] as const]);
    fc.assert(
      fc.property(fc.oneof(templateArbitrary, fragmentsArbitrary, fc.string({ unit: "binary" })), (text) => {
        const { text: result, problem } = renderTemplate(text, values);
        expect(result === undefined).toBe(problem !== undefined);
      }),
      fuzzParameters("templates", 300),
    );
  });
});
