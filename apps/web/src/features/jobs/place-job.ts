import type { JobList, JobSummary } from "@airlock/api";
import { type JobFilter, jobsPerPage, matchesFilter } from "./job-filter.ts";

/**
 * Applies the change of one job to the list. The job is updated in place, inserted by its id, or removed if it no
 * longer matches. A job older than the last one of the page belongs to a later page. A page that grows too long drops
 * its last job.
 */
export function placeJob(list: JobList, job: JobSummary, filter: JobFilter): JobList {
  const others = list.jobs.filter((other) => other.id !== job.id);
  const known = others.length < list.jobs.length;
  if (!matchesFilter(job, filter)) return known ? { ...list, jobs: others } : list;
  const last = list.jobs.at(-1);
  if (!known && list.next !== null && last !== undefined && job.id < last.id) return list;
  const index = others.findIndex((other) => other.id < job.id);
  const jobs = index === -1 ? [...others, job] : others.toSpliced(index, 0, job);
  if (jobs.length <= jobsPerPage) return { ...list, jobs };
  const kept = jobs.slice(0, jobsPerPage);
  return { jobs: kept, next: kept.at(-1)?.id ?? null };
}
