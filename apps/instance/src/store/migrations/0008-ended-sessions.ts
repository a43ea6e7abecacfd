import type { Migration } from "./index.ts";

export const endedSessions: Migration = {
  id: 8,
  name: "ended-sessions",
  sql: `
-- Sessions that were ended before they expired. Their signed cookies would still be accepted, so each is listed here
-- until it expires.
create table ended_sessions (
  id text primary key,
  expires_at timestamptz not null
);
`,
};
