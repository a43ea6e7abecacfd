import type { Migration } from "./index.ts";

export const maximumWaits: Migration = {
  id: 14,
  name: "maximum-waits",
  sql: `
-- How long a job of the queue may wait for an executor; null: forever.
alter table queues add column max_wait_ms bigint check (max_wait_ms > 0);
`,
};
