import type { Migration } from "./index.ts";

export const operations: Migration = {
  id: 6,
  name: "operations",
  sql: `
-- What executors push, taken apart and checked, for half a minute: every instance gives out the same, whichever was told.
-- Not logged: after a crash the next heartbeats bring it again.
create unlogged table executor_metrics (
  executor text primary key,
  series integer not null,
  content text not null,
  pushed_at timestamptz not null default airlock_now()
) with (autovacuum_vacuum_scale_factor = 0.1, autovacuum_vacuum_threshold = 200);

-- Rows lie in the order of these times: a summary per range of pages finds the old ones, at next to no cost per row.
create index attempts_started_at on attempts using brin (started_at) with (pages_per_range = 16, autosummarize = on);
create index jobs_finished_at on jobs using brin (finished_at) with (pages_per_range = 16, autosummarize = on);
create index artifacts_created_at on artifacts using brin (created_at) with (pages_per_range = 16, autosummarize = on);

create index code_intel_uploads_open on code_intel_uploads (created_at) where state = 'uploading';
-- Every upload asks what all artifacts weigh: from the index alone.
create index artifacts_bytes on artifacts (bytes);

-- A list of the few that ended badly does not look through the many that did not.
create index jobs_ended_badly on jobs (state, id desc) where state in ('errored', 'failed', 'canceled');

-- Each row changes state twice and more, and every index that is not partial takes a new entry each time.
drop index jobs_visible;
drop index job_tokens_created_at;
drop index jobs_repository;
create index jobs_repository on jobs (repository, id desc) where repository is not null;
alter table jobs drop constraint jobs_idempotency_key_key;
create unique index jobs_idempotency_key on jobs (idempotency_key) where idempotency_key is not null;
`,
};
