import type { Migration } from "./index.ts";

export const executorProcesses: Migration = {
  id: 9,
  name: "executor-processes",
  sql: `
-- An executor keeps its name when it restarts. A drain request applies only to the process that it was meant for.
alter table executors add column process text not null default '';
`,
};
