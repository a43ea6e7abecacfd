import type { Migration } from "./index.ts";

export const logTimes: Migration = {
  id: 18,
  name: "log-times",
  sql: `
-- When the instance received the chunk. Unknown for chunks stored before this migration, hence no default at first.
alter table log_chunks add column received_at timestamptz;
alter table log_chunks alter column received_at set default now();
`,
};
