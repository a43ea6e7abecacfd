import type { Migration } from "./index.ts";

export const identities: Migration = {
  id: 24,
  name: "identities",
  sql: `
-- Accounts of OpenID Connect providers that users sign in with. An e-mail address or a name never identifies anybody.
create table identities (
  id bigint generated always as identity primary key,
  issuer text not null,
  subject text not null,
  user_id bigint not null references users (id),
  created_at timestamptz not null default airlock_now(),
  last_used_at timestamptz,
  unique (issuer, subject)
);
create unique index identities_user on identities (user_id, issuer);
`,
};
