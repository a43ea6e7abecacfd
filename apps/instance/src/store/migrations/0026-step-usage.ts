import type { Migration } from "./index.ts";

export const stepUsage: Migration = {
  id: 26,
  name: "step-usage",
  sql: `
-- What a step used over time, as StepUsage. At most 600 samples, replaced as a whole while the step runs.
create table step_usage (
  job bigint not null,
  attempt integer not null,
  step smallint not null,
  usage jsonb not null,
  primary key (job, attempt, step),
  foreign key (job, attempt) references attempts (job, attempt) on delete cascade
);
`,
};
