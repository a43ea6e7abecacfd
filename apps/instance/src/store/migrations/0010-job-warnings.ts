import type { Migration } from "./index.ts";

export const jobWarnings: Migration = {
  id: 10,
  name: "job-warnings",
  sql: `
-- Warnings about a job's submission, such as a revision that is both a tag and a branch.
alter table jobs add column warnings text[] not null default '{}';
`,
};
