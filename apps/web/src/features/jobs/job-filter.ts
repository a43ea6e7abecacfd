import { type JobSummary, Namespace } from "@airlock/api";
import { type JobState, jobStates } from "@airlock/job";

/** The filter of the jobs page. It is stored in the page's URL, so that a view can be shared. */
export interface JobFilter {
  /** Empty means all states. */
  readonly states: readonly JobState[];
  readonly queue: string | undefined;
  readonly repository: string | undefined;
  readonly namespace: string | undefined;
  /** Only jobs with a smaller id; selects an older page. */
  readonly before: number | undefined;
}

export const jobsPerPage = 50;

/** Reads a filter from a URL's search. Ignores invalid values, so that a hand-written URL works too. */
export function parseJobFilter(search: URLSearchParams): JobFilter {
  const named = new Set((search.get("state") ?? "").split(","));
  const before = Number(search.get("before"));
  return {
    states: jobStates.filter((state) => named.has(state)),
    queue: search.get("queue") || undefined,
    repository: search.get("repository") || undefined,
    namespace: Namespace.safeParse(search.get("namespace")).data,
    before: Number.isSafeInteger(before) && before > 0 ? before : undefined,
  };
}

/** The filter as a URL's search, for both the page and the API. */
export function formatJobFilter(filter: JobFilter): URLSearchParams {
  const search = new URLSearchParams();
  if (filter.states.length > 0) search.set("state", filter.states.join(","));
  if (filter.queue !== undefined) search.set("queue", filter.queue);
  if (filter.repository !== undefined) search.set("repository", filter.repository);
  if (filter.namespace !== undefined) search.set("namespace", filter.namespace);
  if (filter.before !== undefined) search.set("before", String(filter.before));
  return search;
}

export function matchesFilter(job: JobSummary, filter: JobFilter): boolean {
  return (
    (filter.states.length === 0 || filter.states.includes(job.state)) &&
    (filter.queue === undefined || filter.queue === job.queue) &&
    (filter.repository === undefined || filter.repository === job.repository) &&
    (filter.namespace === undefined || filter.namespace === job.namespace) &&
    (filter.before === undefined || job.id < filter.before)
  );
}

export function isFiltered(filter: JobFilter): boolean {
  const { states, queue, repository, namespace } = filter;
  return states.length > 0 || queue !== undefined || repository !== undefined || namespace !== undefined;
}
