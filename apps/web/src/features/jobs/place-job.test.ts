import { describe, expect, it } from "vitest";
import { jobSummary } from "../../testing/job-summary-fixture.ts";
import { jobsPerPage, parseJobFilter } from "./job-filter.ts";
import { placeJob } from "./place-job.ts";

const filter = (search = "") => parseJobFilter(new URLSearchParams(search));
const listOf = (ids: number[], next: number | null = null) => ({ jobs: ids.map((id) => jobSummary({ id })), next });
const ids = (list: { jobs: { id: number }[] }) => list.jobs.map((job) => job.id);

describe("placeJob", () => {
  it("puts a new job at the top", () => {
    expect(ids(placeJob(listOf([5, 4]), jobSummary({ id: 6 }), filter()))).toEqual([6, 5, 4]);
  });

  it("updates a job in its place", () => {
    const list = placeJob(listOf([5, 4, 3]), jobSummary({ id: 4, state: "processing" }), filter());
    expect(list.jobs.map((job) => [job.id, job.state])).toEqual([
      [5, "queued"],
      [4, "processing"],
      [3, "queued"],
    ]);
  });

  it("removes a job that no longer matches the filter, and adds one that now matches", () => {
    expect(ids(placeJob(listOf([5, 4]), jobSummary({ id: 4, state: "failed" }), filter("state=queued")))).toEqual([5]);
    expect(ids(placeJob(listOf([5, 3]), jobSummary({ id: 4 }), filter("state=queued")))).toEqual([5, 4, 3]);
  });

  it("ignores a job that belongs on a later page", () => {
    const list = listOf([9, 8], 8);
    expect(placeJob(list, jobSummary({ id: 3 }), filter())).toBe(list);
  });

  it("keeps the page's length and updates where the next page begins", () => {
    const full = listOf(Array.from({ length: jobsPerPage }, (_, index) => 100 - index));
    const list = placeJob(full, jobSummary({ id: 101 }), filter());
    expect(list.jobs).toHaveLength(jobsPerPage);
    expect(list.next).toBe(list.jobs.at(-1)?.id);
    expect(list.jobs[0]?.id).toBe(101);
  });
});
