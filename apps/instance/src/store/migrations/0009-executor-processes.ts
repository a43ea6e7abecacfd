import type { Migration } from "./index.ts";

export const executorProcesses: Migration = {
  id: 9,
  name: "executor-processes",
  sql: `
-- An executor keeps its name over restarts; what was asked of one process is not asked of the next.
alter table executors add column process text not null default '';
`,
};
