import { describe, expect, it } from "vitest";
import { jobSummary } from "../../testing/job-summary-fixture.ts";
import { formatJobFilter, matchesFilter, parseJobFilter } from "./job-filter.ts";

const parse = (search: string) => parseJobFilter(new URLSearchParams(search));

describe("the filter of the jobs page", () => {
  it("is the same after it was written to the URL and read back", () => {
    const filter = {
      states: ["queued", "failed"],
      queue: "batches",
      repository: "a/b",
      namespace: "n",
      before: 7,
    } as const;
    expect(parseJobFilter(formatJobFilter(filter))).toEqual(filter);
    expect(formatJobFilter(parse("")).toString()).toBe("");
  });

  it("ignores invalid values", () => {
    expect(parse("state=failed,exploded&before=-3&queue=&namespace=No%20Name&x=y")).toEqual({
      states: ["failed"],
      queue: undefined,
      repository: undefined,
      namespace: undefined,
      before: undefined,
    });
  });

  it.each([
    ["state=queued", true],
    ["state=failed", false],
    ["queue=default&repository=github.com/a/b", true],
    ["queue=other", false],
    ["namespace=default", true],
    ["namespace=team", false],
    ["before=42", false],
    ["before=43", true],
  ])("decides for %s whether it includes job 42", (search, belongs) => {
    expect(matchesFilter(jobSummary({ id: 42 }), parse(search))).toBe(belongs);
  });
});
