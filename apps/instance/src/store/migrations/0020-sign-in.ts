import type { Migration } from "./index.ts";

export const signIn: Migration = {
  id: 20,
  name: "sign-in",
  sql: `
create table user_sessions (
  id bigint generated always as identity primary key,
  -- Only the hash is stored, so that a copy of the database opens no session.
  token_sha256 bytea not null unique,
  user_id bigint not null references users (id),
  created_at timestamptz not null default now(),
  last_used_at timestamptz not null default now(),
  expires_at timestamptz not null,
  address text not null,
  user_agent text not null
);
create index user_sessions_user on user_sessions (user_id);

-- The link with which a user sets a password. A user has at most one.
create table password_links (
  user_id bigint primary key references users (id),
  token_sha256 bytea not null unique,
  expires_at timestamptz not null
);

-- Attempts to sign in that failed or are under way, by hash of the account or address that they count for.
create table sign_in_attempts (
  id bigint generated always as identity primary key,
  bucket bytea not null,
  at timestamptz not null default now()
);
create index sign_in_attempts_bucket on sign_in_attempts (bucket, at);
create index sign_in_attempts_at on sign_in_attempts (at);
`,
};
