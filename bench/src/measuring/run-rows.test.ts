import { describe, expect, it } from "vitest";
import type { BenchResult } from "./result.ts";
import { type Row, runRows } from "./run-rows.ts";

const result = (bench: string): BenchResult => ({ bench, rounds: 1, samples: [], comparisons: [], notes: [] });

async function run(rows: Readonly<Record<string, Row>>) {
  const printed: string[] = [];
  const outcome = await runRows(new Map(Object.entries(rows)), {
    rounds: null,
    progress: () => {},
    print: (text) => void printed.push(text),
  });
  return { ...outcome, text: printed.join("\n") };
}

describe("rows of a benchmark", () => {
  it("are all measured when one fails, and the failure is reported at its place and at the end", async () => {
    const { results, failures, text } = await run({
      first: async () => result("first"),
      broken: async () => {
        throw new Error("no engine");
      },
      last: async () => result("last"),
    });
    expect(results.map(({ bench }) => bench)).toEqual(["first", "last"]);
    expect(failures).toEqual([{ row: "broken", error: new Error("no engine") }]);
    expect(text).toMatch(
      /## first[\s\S]*## broken failed\n\nError: no engine[\s\S]*## last[\s\S]*1 of 3 rows failed: broken$/,
    );
  });

  it("do not mention failures when there are none", async () => {
    const { failures, text } = await run({ only: async () => result("only") });
    expect([failures, text.includes("failed")]).toEqual([[], false]);
  });
});
