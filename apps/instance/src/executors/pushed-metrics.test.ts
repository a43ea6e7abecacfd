import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { PushedMetrics } from "./pushed-metrics.ts";

const nobody: ReadonlySet<string> = new Set();
const line = /^(?:# TYPE [a-zA-Z_:][a-zA-Z0-9_:]* \w+|[a-zA-Z_:][a-zA-Z0-9_:]*\{[^\n]*\} \S+)$/;

describe("PushedMetrics", () => {
  it("gives out what executors push, each family once, with the executor's name", () => {
    const metrics = new PushedMetrics();
    for (const name of ["one", "two"]) {
      metrics.push(
        name,
        '# HELP jobs x\n# TYPE jobs counter\njobs{queue="q"} 3\n# TYPE d histogram\nd_bucket{le="+Inf"} 1\nd_sum 0.5\nd_count 1\n',
      );
    }
    const text = metrics.text(nobody);
    expect(text).toContain(
      '# TYPE jobs counter\njobs{queue="q",sg_instance="one",sg_job="sourcegraph-executors"} 3\njobs{queue="q",sg_instance="two",sg_job="sourcegraph-executors"} 3\n',
    );
    expect(text.match(/# TYPE d histogram/g)).toHaveLength(1);
  });

  it("keeps a registry's own name", () => {
    const metrics = new PushedMetrics();
    metrics.push("e", 'r{sg_instance="docker-registry"} 1');
    expect(metrics.text(nobody)).toBe('r{sg_instance="docker-registry",sg_job="sourcegraph-executors-registry"} 1\n');
  });

  it("forgets an executor that fell silent", () => {
    let now = 0;
    const metrics = new PushedMetrics(() => now);
    metrics.push("e", "up 1");
    now = 30_001;
    expect(metrics.text(nobody)).toBe("");
  });

  it("lets nobody speak for the instance, or for another executor's job label", () => {
    const metrics = new PushedMetrics();
    metrics.push("e", 'src_executor_total{queue="q"} 999\nmine{sg_job="x"} 1');
    expect(metrics.text(new Set(["src_executor_total"]))).toBe(
      'mine{sg_instance="e",sg_job="sourcegraph-executors"} 1\n',
    );
  });

  it("is bounded in series, lines and bytes", () => {
    const metrics = new PushedMetrics();
    metrics.push("e", Array.from({ length: 10_000 }, (_, index) => `m${index} 1`).join("\n"));
    expect(metrics.text(nobody).split("\n").length).toBeLessThanOrEqual(2001);
    metrics.push("e", `m{a="${"x".repeat(10_000)}"} 1`);
    expect(metrics.text(nobody)).toBe("");
  });

  it.each(['m{a="b} 1', "m{a=b} 1", 'm{a="1",a="2"} 1', "m one", "m 1 x", "1m 1", 'm{a="\\x"} 1', "m"])(
    "drops what is no series: %s",
    (text) => {
      const metrics = new PushedMetrics();
      metrics.push("e", text);
      expect(metrics.text(nobody)).toBe("");
    },
  );

  it("writes lines of the format and nothing else, whatever comes in", () => {
    const metrics = new PushedMetrics();
    const piece = fc.oneof(
      fc.string(),
      fc.constantFrom("\n", "{", "}", '"', "\\", "# TYPE a counter", 'a{b="c"} 1', " 1"),
    );
    fc.assert(
      fc.property(fc.string({ minLength: 1 }), fc.array(piece), (executor, pieces) => {
        metrics.push(executor, pieces.join(""));
        for (const one of metrics.text(nobody).split("\n")) if (one !== "") expect(one).toMatch(line);
      }),
    );
  });
});
