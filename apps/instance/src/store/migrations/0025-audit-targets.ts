import type { Migration } from "./index.ts";

export const auditTargets: Migration = {
  id: 25,
  name: "audit-targets",
  sql: `
-- For "who changed this?", which would read the whole log for a target that is rarely changed.
create index audit_log_target on audit_log (target, id desc) where target is not null;
`,
};
