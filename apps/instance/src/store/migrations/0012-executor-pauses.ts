import type { Migration } from "./index.ts";

export const executorPauses: Migration = {
  id: 12,
  name: "executor-pauses",
  sql: `
-- Whether the executor stays without taking jobs; null: it exits after a drain.
alter table executors add column paused boolean;
`,
};
