import { type JobSummary, Namespace } from "@airlock/api";
import { type JobState, jobStates } from "@airlock/job";
import { z } from "zod";

/** The filter of the jobs page. It is stored in the page's URL, so that a view can be shared. */
export interface JobFilter {
  /** Empty means all states. */
  readonly states: readonly JobState[];
  readonly queue: string | undefined;
  readonly repository: string | undefined;
  readonly namespace: string | undefined;
  /** Part of the repository, the revision, the commit or the reason of the failure. */
  readonly text: string | undefined;
  /** `KEY=VALUE`: labels that the jobs ask for. */
  readonly labels: readonly string[];
  /** Only jobs queued at this time or later. */
  readonly since: string | undefined;
  /** Only jobs with a smaller id; selects an older page. */
  readonly before: number | undefined;
}

export const jobsPerPage = 50;
export const maxLabels = 20;

/** Reads a filter from a URL's search. Ignores invalid values, so that a hand-written URL works too. */
export function parseJobFilter(search: URLSearchParams): JobFilter {
  const named = new Set((search.get("state") ?? "").split(","));
  const before = Number(search.get("before"));
  return {
    states: jobStates.filter((state) => named.has(state)),
    queue: search.get("queue") || undefined,
    repository: search.get("repository") || undefined,
    namespace: Namespace.safeParse(search.get("namespace")).data,
    text: search.get("text")?.trim().slice(0, 200) || undefined,
    labels: search.getAll("label").filter(isLabel).slice(0, maxLabels),
    since: z.iso.datetime().safeParse(search.get("since")).data,
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
  if (filter.text !== undefined) search.set("text", filter.text);
  for (const label of filter.labels) search.append("label", label);
  if (filter.since !== undefined) search.set("since", filter.since);
  if (filter.before !== undefined) search.set("before", String(filter.before));
  return search;
}

/** Whether the text is `KEY=VALUE`. */
export function isLabel(text: string): boolean {
  return /^[^=]+=/.test(text);
}

/** Whether everything but the labels matches. */
export function matchesFilter(job: JobSummary, filter: JobFilter): boolean {
  return (
    (filter.states.length === 0 || filter.states.includes(job.state)) &&
    (filter.queue === undefined || filter.queue === job.queue) &&
    (filter.repository === undefined || filter.repository === job.repository) &&
    (filter.namespace === undefined || filter.namespace === job.namespace) &&
    (filter.text === undefined || containsText(job, filter.text.toLowerCase())) &&
    (filter.since === undefined || job.queuedAt >= filter.since) &&
    (filter.before === undefined || job.id < filter.before)
  );
}

export function isFiltered(filter: JobFilter): boolean {
  const { before: _, ...own } = filter;
  return Object.values(own).some((value) => (Array.isArray(value) ? value.length > 0 : value !== undefined));
}

function containsText(job: JobSummary, text: string): boolean {
  const texts = [job.repository, job.revision, job.commit, job.failureMessage];
  return texts.some((each) => each?.toLowerCase().includes(text));
}
