import type { Migration } from "./index.ts";

export const webhooks: Migration = {
  id: 29,
  name: "webhooks",
  sql: `
create table webhooks (
  id bigint generated always as identity primary key,
  namespace text not null references namespaces (name),
  name text not null,
  url text not null,
  events text[] not null,
  enabled boolean not null default true,
  -- The encrypted secret, and the id of the key that encrypts it.
  sealed bytea not null,
  key_id text not null,
  created_at timestamptz not null default airlock_now()
);
create index webhooks_namespace on webhooks (namespace, id);

-- Messages for webhooks. A sender takes one with a lease, so that another sender repeats it after a crash.
create table webhook_deliveries (
  id bigint generated always as identity primary key,
  webhook bigint not null references webhooks (id) on delete cascade,
  -- No foreign key: the log outlives the job.
  job bigint not null,
  event text not null,
  body text not null,
  state text not null default 'pending' check (state in ('pending', 'delivered', 'failed')),
  tries integer not null default 0,
  created_at timestamptz not null default airlock_now(),
  visible_at timestamptz not null default airlock_now(),
  lease_expires_at timestamptz
);
create index webhook_deliveries_webhook on webhook_deliveries (webhook, id desc);
create index webhook_deliveries_pending on webhook_deliveries (visible_at) where state = 'pending';
create index webhook_deliveries_created on webhook_deliveries (created_at);

create table webhook_tries (
  delivery bigint not null references webhook_deliveries (id) on delete cascade,
  try integer not null,
  at timestamptz not null,
  duration_ms integer not null,
  status integer,
  error text,
  primary key (delivery, try)
);

-- A trigger, so that no statement can change a job's state without telling, and the message is stored with the change.
create function tell_webhooks() returns trigger language plpgsql as $$
begin
  insert into webhook_deliveries (webhook, job, event, body)
  select webhooks.id, new.id, 'job.' || new.state, jsonb_build_object(
    'type', 'job.' || new.state,
    'timestamp', to_char(airlock_now() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
    'data', jsonb_build_object('id', new.id, 'namespace', new.namespace, 'queue', new.queue, 'state', new.state,
      'attempt', new.attempt, 'repository', new.repository, 'commit', new.commit,
      'failureReason', new.failure_reason, 'exitCode', new.exit_code))::text
  from webhooks
  where webhooks.namespace = new.namespace and webhooks.enabled and 'job.' || new.state = any(webhooks.events);
  return null;
end $$;
create trigger jobs_tell_created after insert on jobs for each row execute function tell_webhooks();
create trigger jobs_tell_changed after update of state on jobs for each row
  when (old.state is distinct from new.state or old.attempt is distinct from new.attempt)
  execute function tell_webhooks();
`,
};
