import type { Migration } from "./index.ts";

export const accounts: Migration = {
  id: 19,
  name: "accounts",
  sql: `
-- Users and organizations share one set of names, which are the namespaces of jobs and secrets. A name is never given
-- up, so that jobs and secrets can't get another owner.
create table namespaces (
  name text primary key,
  kind text not null check (kind in ('user', 'organization')),
  display_name text not null default '',
  created_at timestamptz not null default now(),
  unique (name, kind)
);
-- Each namespace that something uses becomes an organization. It has no members: only administrators see it until they
-- add some.
insert into namespaces (name, kind)
select 'default', 'organization'
union select namespace, 'organization' from jobs
union select namespace, 'organization' from secrets where namespace <> ''
union select namespace, 'organization' from secret_events where namespace <> '';

create table users (
  id bigint generated always as identity primary key,
  name text not null unique,
  kind text not null generated always as ('user') stored,
  role text not null check (role in ('administrator', 'member')),
  -- Users are never deleted, because jobs and audit records name them.
  disabled_at timestamptz,
  -- Argon2id in the PHC format; null: the user cannot sign in with a password.
  password text,
  created_at timestamptz not null default now(),
  foreign key (name, kind) references namespaces (name, kind)
);
create table memberships (
  organization text not null,
  kind text not null generated always as ('organization') stored,
  user_id bigint not null references users (id),
  role text not null check (role in ('owner', 'member', 'viewer')),
  primary key (user_id, organization),
  foreign key (organization, kind) references namespaces (name, kind)
);
create index memberships_organization on memberships (organization);

-- The organizations that see a repository which not everyone sees.
alter table repositories add column visible_to_everyone boolean not null default true;
create table repository_organizations (
  repository text not null references repositories (name) on delete cascade,
  organization text not null,
  kind text not null generated always as ('organization') stored,
  primary key (repository, organization),
  foreign key (organization, kind) references namespaces (name, kind)
);
-- Until now, only the administrator saw repositories. Each stays visible to those whose jobs used it.
update repositories set visible_to_everyone = false;
insert into repository_organizations (repository, organization)
select distinct repositories.name, jobs.namespace from repositories join jobs on jobs.repository = repositories.name;
`,
};
