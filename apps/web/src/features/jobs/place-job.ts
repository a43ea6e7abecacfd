import type { JobList, JobSummary } from "@airlock/api";
import { type JobFilter, jobsPerPage, matchesFilter } from "./job-filter.ts";

/**
 * The list after news of one job: changed in its place, put where its id belongs, or gone when it no longer matches. A
 * job older than the page's last belongs to a later page. The newest page keeps its length by handing its last job on.
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
