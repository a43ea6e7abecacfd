import { describe, expect, test } from "vitest";
import { readYaml } from "./read-yaml.ts";

const options = { maximumLength: 2 ** 22, maximumAliases: 150, mergeKeys: false };

function messages(text: string, changed: Partial<typeof options> = {}): readonly string[] {
  const document = readYaml(text, { ...options, ...changed });
  return "problems" in document ? document.problems.map(({ span, message }) => `${span.line}: ${message}`) : [];
}

describe("readYaml", () => {
  test("a merge key is a name like any other where maps are not merged", () => {
    const text = "a: &a { x: 1 }\n<<: *a\n<<: *a\n";
    expect(messages(text)).toEqual(["3: this field appears twice"]);
    expect(readYaml(text, { ...options, mergeKeys: true })).toMatchObject({ value: { a: { x: 1 }, x: 1 } });
  });

  test("aliases are limited in all, and per anchor", () => {
    const list = (a: number, b: number) => `x: [&a 1, &b 2${", *a".repeat(a)}${", *b".repeat(b)}]`;
    expect(messages(list(75, 75))).toEqual([]);
    expect(messages(list(76, 75))).toEqual(["1: too many aliases"]);
    expect(messages(list(110, 0))).toEqual(["1: too many aliases"]);
  });

  test.each(["[", "- ", "{a: ", "? "])(
    "%j a hundred thousand times is a fault and does not end the process",
    (part) => {
      expect(messages(part.repeat(100_000))).not.toEqual([]);
    },
  );

  test("the time for duplicate keys grows with the length of the text", () => {
    const fields = Array.from({ length: 100_000 }, (_, index) => `x${index}: 1\n`).join("");
    const startedAt = performance.now();
    expect(messages(`${fields}x0: 2\n`)).toEqual(["100001: this field appears twice"]);
    // Comparing each key with all others takes half a minute.
    expect(performance.now() - startedAt).toBeLessThan(10_000);
  });
});
