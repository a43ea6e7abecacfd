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
      text: "main branch",
      labels: ["gpu=a100", "zone=b=c"],
      since: "2026-01-01T00:00:00.000Z",
      before: 7,
    } as const;
    expect(parseJobFilter(formatJobFilter(filter))).toEqual(filter);
    expect(formatJobFilter(parse("")).toString()).toBe("");
  });

  it("ignores invalid values", () => {
    expect(parse("state=failed,exploded&before=-3&queue=&namespace=No%20Name&x=y&label=gpu&since=now&text=+")).toEqual({
      states: ["failed"],
      queue: undefined,
      repository: undefined,
      namespace: undefined,
      text: undefined,
      labels: [],
      since: undefined,
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
    ["text=A%2FB", true],
    ["text=elsewhere", false],
    ["since=2026-01-01T00:00:00.000Z", true],
    ["since=2026-01-02T00:00:00.000Z", false],
    ["before=42", false],
    ["before=43", true],
  ])("decides for %s whether it includes job 42", (search, belongs) => {
    expect(matchesFilter(jobSummary({ id: 42 }), parse(search))).toBe(belongs);
  });
});
