import type { Migration } from "./index.ts";

export const endedSessions: Migration = {
  id: 8,
  name: "ended-sessions",
  sql: `
-- A session's cookie proves itself; those that were ended before their time are noted here until then.
create table ended_sessions (
  id text primary key,
  expires_at timestamptz not null
);
`,
};
