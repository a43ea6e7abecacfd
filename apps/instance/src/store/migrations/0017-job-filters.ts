import type { Migration } from "./index.ts";

export const jobFilters: Migration = {
  id: 17,
  name: "job-filters",
  sql: `
-- For lists of jobs by label and by time. Few jobs ask for labels. Times grow with the table, so a BRIN index stays small.
create index jobs_labels on jobs using gin (labels jsonb_path_ops) where labels <> '{}';
create index jobs_queued_at on jobs using brin (queued_at) with (pages_per_range = 16, autosummarize = on);
`,
};
