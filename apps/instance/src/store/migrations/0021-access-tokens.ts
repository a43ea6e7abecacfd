import type { Migration } from "./index.ts";

export const accessTokens: Migration = {
  id: 21,
  name: "access-tokens",
  sql: `
create table access_tokens (
  id bigint generated always as identity primary key,
  -- Only the hash is stored, so that a copy of the database opens nothing.
  token_sha256 bytea not null unique,
  user_id bigint not null references users (id),
  name text not null,
  scopes text[] not null,
  created_at timestamptz not null default now(),
  -- null: never
  expires_at timestamptz,
  last_used_at timestamptz,
  last_address text
);
create index access_tokens_user on access_tokens (user_id);
`,
};
