import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { formatPushedMetrics, parsePushedMetrics } from "./pushed-metrics.ts";

const nobody: ReadonlySet<string> = new Set();
const line = /^(?:# TYPE [a-zA-Z_:][a-zA-Z0-9_:]* \w+|[a-zA-Z_:][a-zA-Z0-9_:]*\{[^\n]*\} \S+)$/;

function page(pushed: Readonly<Record<string, string>>, taken: ReadonlySet<string> = nobody): string {
  const parsed = Object.entries(pushed).map(([executor, text]) => parsePushedMetrics(executor, text));
  // Simulates the round trip through the database.
  return formatPushedMetrics(JSON.parse(JSON.stringify(parsed)), taken);
}

describe("pushed metrics", () => {
  it("are published with the executor's name, each family once", () => {
    const text =
      '# HELP jobs x\n# TYPE jobs counter\njobs{queue="q"} 3\n# TYPE d histogram\nd_bucket{le="+Inf"} 1\nd_sum 0.5\nd_count 1\n';
    const given = page({ one: text, two: text });
    expect(given).toContain(
      '# TYPE jobs counter\njobs{queue="q",sg_instance="one",sg_job="sourcegraph-executors"} 3\njobs{queue="q",sg_instance="two",sg_job="sourcegraph-executors"} 3\n',
    );
    expect(given.match(/# TYPE d histogram/g)).toHaveLength(1);
  });

  it("keep an instance name that a registry has set itself", () => {
    expect(page({ e: 'r{sg_instance="docker-registry"} 1' })).toBe(
      'r{sg_instance="docker-registry",sg_job="sourcegraph-executors-registry"} 1\n',
    );
  });

  it("contain each series once, even if two executors use the same name", () => {
    expect(page({ a: 'm{sg_instance="x"} 1', b: 'm{sg_instance="x"} 2' })).toBe(
      'm{sg_instance="x",sg_job="sourcegraph-executors"} 1\n',
    );
  });

  it("can't imitate metrics of the instance, or carry another executor's job label", () => {
    expect(page({ e: 'src_executor_total{queue="q"} 999\nmine{sg_job="x"} 1' }, new Set(["src_executor_total"]))).toBe(
      'mine{sg_instance="e",sg_job="sourcegraph-executors"} 1\n',
    );
  });

  it("have limits on series, lines and bytes", () => {
    const million = Array.from({ length: 1_000_000 }, (_, index) => `m${index} 1`).join("\n");
    expect(page({ e: million }).split("\n").length).toBeLessThanOrEqual(2001);
    expect(page({ e: `m{a="${"x".repeat(10_000)}"} 1` })).toBe("");
  });

  it.each(['m{a="b} 1', "m{a=b} 1", 'm{a="1",a="2"} 1', "m one", "m 1 x", "1m 1", 'm{a="\\x"} 1', "m"])(
    "leave out an invalid series: %s",
    (text) => {
      expect(page({ e: text })).toBe("");
    },
  );

  it("are always valid lines of the format, whatever an executor sends", () => {
    const piece = fc.oneof(
      fc.string(),
      fc.constantFrom("\n", "{", "}", '"', "\\", "# TYPE a counter", "# TYPE __proto__ gauge", 'a{b="c"} 1', " 1"),
    );
    fc.assert(
      fc.property(fc.string({ minLength: 1 }), fc.array(piece), (executor, pieces) => {
        const given = formatPushedMetrics([parsePushedMetrics(executor, pieces.join(""))], nobody);
        for (const one of given.split("\n")) if (one !== "") expect(one).toMatch(line);
      }),
    );
  });
});
