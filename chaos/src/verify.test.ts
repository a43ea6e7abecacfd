import type { JobView } from "@airlock/api";
import { describe, expect, it } from "vitest";
import { expectedLines, type JobPlan, planBlows, planJobs } from "./plan.ts";
import { seededRandom } from "./random.ts";
import { findFaults } from "./verify.ts";

const plan: JobPlan = { name: "job0", lines: 3, exitCode: 0, pauseMs: 0 };
const log = `${expectedLines(plan).join("\n")}\n`;
const attempt = (
  number: number,
  state: "completed" | "failed" | "errored" | "processing",
): JobView["attempts"][number] => ({
  attempt: number,
  state,
  executor: "e",
  startedAt: "2026-01-01T00:00:00Z",
  finishedAt: null,
  failureReason: null,
  failureMessage: null,
});
const good = {
  state: "completed",
  exitCode: 0,
  failureMessage: null,
  attempts: [attempt(1, "errored"), attempt(2, "completed")],
} as unknown as JobView;

describe("findFaults", () => {
  it("finds nothing wrong with a job that ended once with its whole log", () => {
    expect(findFaults({ plan, view: good, log })).toEqual([]);
  });

  it("accepts streams that are interleaved differently", () => {
    expect(findFaults({ plan, view: good, log: `${expectedLines(plan).reverse().join("\n")}\n` })).toEqual([]);
  });

  it.each([
    ["a lost line", { log: log.replace("job0 line 1\n", "") }, /1 of 3 lines are missing/],
    ["a repeated line", { log: `${log}job0 line 2\n` }, /1 lines stand twice/],
    ["another job's line", { log: `${log}job1 line 0\n` }, /foreign lines/],
    ["a wrong end", { view: { ...good, state: "errored" } }, /ended as errored instead of completed/],
    ["two ends", { view: { ...good, attempts: [attempt(1, "completed"), attempt(2, "completed")] } }, /2 attempts say/],
    [
      "an attempt that never ended",
      { view: { ...good, attempts: [attempt(1, "processing"), attempt(2, "completed")] } },
      /still processing/,
    ],
    ["a lost attempt", { view: { ...good, attempts: [attempt(2, "completed")] } }, /attempt 2 stands at place 1/],
  ])("finds %s", (_title, change, fault) => {
    expect(findFaults({ plan, view: good, log, ...change } as never).join("; ")).toMatch(fault);
  });
});

describe("the plan of a chaos test", () => {
  it("is the same for the same seed, and differs for another seed", () => {
    const first = (seed: number) => {
      const random = seededRandom(seed);
      const jobs = planJobs(random, 5);
      return { jobs, blow: planBlows(random, { executors: 3, instances: 2, patience: 1 }).next().value };
    };
    expect(first(7)).toEqual(first(7));
    expect(first(7)).not.toEqual(first(8));
  });
});
