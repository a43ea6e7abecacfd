import type { Migration } from "./index.ts";

export const initial: Migration = {
  id: 1,
  name: "initial",
  sql: `
-- The queue's only clock. All instances read it, so their own clocks don't matter. Tests replace it.
create function airlock_now() returns timestamptz language sql stable parallel safe as 'select now()';

create table queues (
  name text primary key,
  max_attempts integer not null default 3 check (max_attempts >= 1),
  backoff_ms integer not null default 5000 check (backoff_ms >= 0),
  backoff_max_ms integer not null default 300000 check (backoff_max_ms >= 0),
  lease_ms integer not null default 15000 check (lease_ms > 0),
  created_at timestamptz not null default now()
);
insert into queues (name) values ('default'), ('batches'), ('codeintel');

create table repositories (
  name text primary key,
  url text not null unique,
  state text not null default 'cloning' check (state in ('cloning', 'ready', 'failed')),
  error text,
  head text,
  fetched_at timestamptz,
  size_bytes bigint,
  created_at timestamptz not null default now()
);

create table jobs (
  id bigint generated always as identity primary key,
  queue text not null references queues (name),
  priority integer not null default 0,
  state text not null default 'queued'
    check (state in ('queued', 'processing', 'completed', 'errored', 'failed', 'canceled')),
  spec jsonb not null,
  labels jsonb not null default '{}',
  repository text,
  revision text not null,
  commit text,
  attempt integer not null default 0,
  errors integer not null default 0,
  cancel_requested boolean not null default false,
  visible_at timestamptz not null default airlock_now(),
  lease_expires_at timestamptz,
  executor text,
  failure_reason text,
  failure_message text,
  exit_code integer,
  queued_at timestamptz not null default airlock_now(),
  started_at timestamptz,
  finished_at timestamptz,
  idempotency_key text unique,
  idempotency_sha256 bytea,
  check ((state = 'processing') = (lease_expires_at is not null)),
  check ((state in ('queued', 'processing')) = (finished_at is null))
) with (
  -- A row changes its state several times within a short time. Free space on the page lets updates skip the indexes of
  -- unchanged columns (HOT). A low threshold keeps dead entries out of the partial indexes.
  fillfactor = 80,
  autovacuum_vacuum_scale_factor = 0.02,
  autovacuum_vacuum_threshold = 500
);
create index jobs_dequeue on jobs (queue, priority desc, id) where state = 'queued';
create index jobs_visible on jobs (visible_at) where state = 'queued';
create index jobs_lease on jobs (lease_expires_at) where state = 'processing';
create index jobs_executor on jobs (executor) where state = 'processing';
create index jobs_repository on jobs (repository, id desc);
create index jobs_queue on jobs (queue, id desc);

create table attempts (
  job bigint not null references jobs (id) on delete cascade,
  attempt integer not null,
  executor text not null,
  state text not null default 'processing'
    check (state in ('processing', 'completed', 'errored', 'failed', 'canceled')),
  started_at timestamptz not null,
  finished_at timestamptz,
  failure_reason text,
  failure_message text,
  exit_code integer,
  primary key (job, attempt)
);

create table job_tokens (
  token_sha256 bytea primary key,
  job bigint not null references jobs (id) on delete cascade,
  attempt integer not null,
  queue text not null,
  repository text,
  executor text not null,
  created_at timestamptz not null default now()
);
create index job_tokens_job on job_tokens (job);
create index job_tokens_created_at on job_tokens (created_at);

create table log_entries (
  job bigint not null,
  attempt integer not null,
  entry_id integer not null,
  key text not null,
  command jsonb not null,
  started_at timestamptz not null,
  exit_code integer,
  duration_ms bigint,
  -- Bytes that the executor sent, in both streams. Bytes beyond the log's limit count in length, not in stored_length.
  length bigint not null default 0,
  stored_length bigint not null default 0,
  primary key (job, attempt, entry_id),
  foreign key (job, attempt) references attempts (job, attempt) on delete cascade
);

-- No foreign key: inserting chunks is the hot path, and the insert already holds a lock on the attempt.
create table log_chunks (
  job bigint not null,
  attempt integer not null,
  entry_id integer not null,
  "offset" bigint not null,
  stream text not null check (stream in ('stdout', 'stderr')),
  bytes bytea not null,
  primary key (job, attempt, entry_id, "offset")
);
-- No compression: output is written once and read unchanged, so compressing costs more time than it saves.
alter table log_chunks alter column bytes set storage external;

create table executors (
  name text primary key,
  queues text[] not null,
  airlock boolean not null,
  version text not null,
  runtime text not null,
  runtime_version text not null,
  os text not null,
  architecture text not null,
  git_version text not null,
  docker_version text not null,
  slots integer not null,
  labels jsonb not null default '{}',
  draining boolean not null default false,
  first_seen_at timestamptz not null default airlock_now(),
  last_seen_at timestamptz not null default airlock_now()
);
create index executors_last_seen_at on executors (last_seen_at);
`,
};
