import type { Migration } from "./index.ts";

export const executorTokens: Migration = {
  id: 22,
  name: "executor-tokens",
  sql: `
create table executor_tokens (
  id bigint generated always as identity primary key,
  -- Only the hash is stored, so that a copy of the database opens nothing.
  token_sha256 bytea not null unique,
  queue text not null references queues (name),
  name text not null,
  created_at timestamptz not null default airlock_now(),
  created_by text not null,
  -- Set when another token replaces this one; null: never
  expires_at timestamptz,
  last_used_at timestamptz,
  last_address text
);
create index executor_tokens_queue on executor_tokens (queue);
create table executor_token_uses (
  token bigint not null references executor_tokens (id) on delete cascade,
  executor text not null,
  last_used_at timestamptz not null default airlock_now(),
  primary key (token, executor)
);
`,
};
