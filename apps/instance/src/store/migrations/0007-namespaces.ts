import type { Migration } from "./index.ts";

export const namespaces: Migration = {
  id: 7,
  name: "namespaces",
  sql: `
-- The list of one namespace's jobs. Where nobody uses namespaces it stays empty and costs a job nothing.
create index jobs_namespace on jobs (namespace, id desc) where namespace <> 'default';
`,
};
