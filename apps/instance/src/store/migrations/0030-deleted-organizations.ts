import type { Migration } from "./index.ts";

export const deletedOrganizations: Migration = {
  id: 30,
  name: "deleted-organizations",
  sql: `
-- The row of a deleted organization stays, so that its name can't get another owner, who would see its finished jobs and
-- its part of the audit log.
alter table namespaces add column deleted_at timestamptz check (deleted_at is null or kind = 'organization');
`,
};
