import type { Migration } from "./index.ts";

export const executorPauses: Migration = {
  id: 12,
  name: "executor-pauses",
  sql: `
-- Whether the executor is paused: connected, but taking no jobs. null: it can't pause, and exits after a drain.
alter table executors add column paused boolean;
`,
};
