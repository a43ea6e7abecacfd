import type { Migration } from "./index.ts";

export const uploadsOfJobs: Migration = {
  id: 16,
  name: "uploads-of-jobs",
  sql: `
-- The attempt whose token created the upload. Only that token may continue it.
alter table code_intel_uploads
  add column job bigint references jobs (id) on delete set null,
  add column attempt integer;
create index code_intel_uploads_job on code_intel_uploads (job) where job is not null;
`,
};
