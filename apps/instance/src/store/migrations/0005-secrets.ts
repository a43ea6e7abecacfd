import type { Migration } from "./index.ts";

export const secrets: Migration = {
  id: 5,
  name: "secrets",
  sql: `
-- Ids of the keys that encrypt values in this database. An instance with none of them belongs to another database.
create table secret_keys (
  key_id text primary key,
  registered_at timestamptz not null default now()
);

create table secrets (
  id bigint generated always as identity primary key,
  name text not null,
  -- Empty: valid for every namespace or every queue.
  namespace text not null default '',
  queue text not null default '',
  description text not null default '',
  key_id text not null,
  sealed bytea not null,
  created_at timestamptz not null default now(),
  created_by text not null,
  updated_at timestamptz not null default now(),
  updated_by text not null,
  last_used_at timestamptz,
  unique (name, namespace, queue)
);

-- No foreign keys: audit records outlive the secret, the job and the executor.
create table secret_events (
  id bigint generated always as identity primary key,
  at timestamptz not null default now(),
  action text not null check (action in ('created', 'changed', 'deleted', 'used')),
  name text not null,
  namespace text not null,
  queue text not null,
  actor text not null,
  via text not null check (via in ('token', 'session', 'lease')),
  job bigint,
  attempt integer,
  step text
);
create index secret_events_name on secret_events (name, id desc);
create index secret_events_job on secret_events (job) where job is not null;
create index secret_events_used_at on secret_events (at) where action = 'used';

-- url is the address without credentials; sealed_url is the encrypted address with them. url is not unique, because two
-- stored addresses may differ only in their credentials.
alter table repositories
  add column key_id text,
  add column sealed_url bytea,
  drop constraint repositories_url_key;
create index repositories_url on repositories (url);
`,
};
