import type { Migration } from "./index.ts";

export const operations: Migration = {
  id: 6,
  name: "operations",
  sql: `
-- Parsed and checked metrics that executors pushed in the last 30 s, so that every instance serves the same metrics.
-- Unlogged: after a crash, the next heartbeats bring them again.
create unlogged table executor_metrics (
  executor text primary key,
  series integer not null,
  content text not null,
  pushed_at timestamptz not null default airlock_now()
) with (autovacuum_vacuum_scale_factor = 0.1, autovacuum_vacuum_threshold = 200);

-- Rows are stored in the order of these times, so a BRIN index finds old ones and costs almost nothing per row.
create index attempts_started_at on attempts using brin (started_at) with (pages_per_range = 16, autosummarize = on);
create index jobs_finished_at on jobs using brin (finished_at) with (pages_per_range = 16, autosummarize = on);
create index artifacts_created_at on artifacts using brin (created_at) with (pages_per_range = 16, autosummarize = on);

create index code_intel_uploads_open on code_intel_uploads (created_at) where state = 'uploading';
-- Every upload needs the total size of all artifacts. This index allows an index-only scan.
create index artifacts_bytes on artifacts (bytes);

-- For lists of unsuccessful jobs, so that they don't scan the many successful ones.
create index jobs_ended_badly on jobs (state, id desc) where state in ('errored', 'failed', 'canceled');

-- Each row changes its state at least twice, and each time every index that is not partial gets a new entry.
drop index jobs_visible;
drop index job_tokens_created_at;
drop index jobs_repository;
create index jobs_repository on jobs (repository, id desc) where repository is not null;
alter table jobs drop constraint jobs_idempotency_key_key;
create unique index jobs_idempotency_key on jobs (idempotency_key) where idempotency_key is not null;
`,
};
