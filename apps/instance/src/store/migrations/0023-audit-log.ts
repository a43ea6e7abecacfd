import type { Migration } from "./index.ts";

export const auditLog: Migration = {
  id: 23,
  name: "audit-log",
  sql: `
-- No foreign keys: entries outlive what they are about.
create table audit_log (
  id bigint generated always as identity primary key,
  at timestamptz not null default airlock_now(),
  action text not null,
  -- Empty: nobody proved who they are.
  actor text not null,
  via text not null,
  -- Id of the session or the token.
  credential text,
  address text,
  -- The user or the organization that the entry is about; null: the whole instance.
  namespace text,
  target_kind text,
  target text,
  job bigint,
  details jsonb not null default '{}'
);
create index audit_log_at on audit_log (at);
create index audit_log_namespace on audit_log (namespace, id desc);
create index audit_log_actor on audit_log (actor, id desc);
create index audit_log_action on audit_log (action, id desc);
create index audit_log_job on audit_log (job) where job is not null;

-- Entries are only added. Only the retention deletes old ones, and says so within its transaction.
create function refuse_audit_change() returns trigger language plpgsql as $$
begin
  if tg_op = 'DELETE' and current_setting('airlock.audit_retention', true) = 'on' then
    return old;
  end if;
  raise exception 'the audit log can only be added to' using errcode = 'insufficient_privilege';
end $$;
create trigger audit_log_append_only before update or delete on audit_log
  for each row execute function refuse_audit_change();
create trigger audit_log_no_truncate before truncate on audit_log
  for each statement execute function refuse_audit_change();
`,
};
