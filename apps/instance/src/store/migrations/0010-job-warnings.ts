import type { Migration } from "./index.ts";

export const jobWarnings: Migration = {
  id: 10,
  name: "job-warnings",
  sql: `
-- What a job's submitter is told and what stays with the job, such as a revision that is a tag and a branch.
alter table jobs add column warnings text[] not null default '{}';
`,
};
