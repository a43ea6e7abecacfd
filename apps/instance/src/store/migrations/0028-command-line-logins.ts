import type { Migration } from "./index.ts";

export const commandLineLogins: Migration = {
  id: 28,
  name: "command-line-logins",
  sql: `
-- Command lines that ask for an access token. A row lives for minutes, and ends with its token.
create table command_line_logins (
  id bigint generated always as identity primary key,
  secret_sha256 bytea not null unique,
  code text not null unique,
  host text not null,
  address text not null,
  -- The sender's network, which may begin only so many.
  network text not null,
  created_at timestamptz not null default now(),
  expires_at timestamptz not null,
  -- The session in which a person confirmed; null: not confirmed. A session that ends takes its logins with it.
  session_id bigint references user_sessions (id) on delete cascade,
  confirmation_sha256 bytea,
  token_name text,
  token_scopes text[],
  -- null: the token never expires
  token_expires_at timestamptz,
  tries integer not null default 0
);
create index command_line_logins_network on command_line_logins (network, created_at);
create index command_line_logins_session on command_line_logins (session_id);
`,
};
