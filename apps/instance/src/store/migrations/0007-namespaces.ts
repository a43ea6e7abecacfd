import type { Migration } from "./index.ts";

export const namespaces: Migration = {
  id: 7,
  name: "namespaces",
  sql: `
-- For lists of one namespace's jobs. The default namespace is left out, so this costs nothing without namespaces.
create index jobs_namespace on jobs (namespace, id desc) where namespace <> 'default';
`,
};
