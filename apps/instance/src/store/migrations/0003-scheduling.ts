import type { Migration } from "./index.ts";

export const scheduling: Migration = {
  id: 3,
  name: "scheduling",
  sql: `
alter table queues
  add column max_losses integer not null default 3 check (max_losses >= 1),
  add column heartbeat_interval_ms integer not null default 5000 check (heartbeat_interval_ms > 0),
  add column concurrency_limit integer check (concurrency_limit >= 1),
  add column namespace_concurrency_limit integer check (namespace_concurrency_limit >= 1),
  add column weight integer not null default 1 check (weight between 1 and 1000),
  add column max_log_bytes bigint not null default 268435456 check (max_log_bytes >= 1);

alter table jobs
  add column losses integer not null default 0,
  add column namespace text not null default 'default',
  add column cpu_millis bigint,
  add column memory_bytes bigint,
  add column disk_bytes bigint,
  add column turn bigint not null default 0;
-- Jobs with equal demands share a lane. A dequeue looks at one job of each lane instead of at every waiting job.
alter table jobs add column lane uuid not null generated always as (
  md5(namespace || ' ' || labels::text || ' ' || coalesce(cpu_millis::text, '-') || ' ' ||
    coalesce(memory_bytes::text, '-') || ' ' || coalesce(disk_bytes::text, '-'))::uuid
) stored;
drop index jobs_dequeue;
create index jobs_dequeue on jobs (queue, lane, priority desc, turn, id) where state = 'queued';
create index jobs_turn on jobs (queue, priority, turn) where state = 'queued';
create index jobs_namespace_turn on jobs (queue, namespace, priority, turn) where state = 'queued';
create index jobs_running_turn on jobs (queue, priority, turn) where state = 'processing';
create index jobs_running on jobs (queue, namespace) where state = 'processing';

alter table executors
  add column drain_requested boolean not null default false,
  add column capabilities text[] not null default '{}',
  add column cpu_millis bigint,
  add column memory_bytes bigint,
  add column disk_bytes bigint;
`,
};
