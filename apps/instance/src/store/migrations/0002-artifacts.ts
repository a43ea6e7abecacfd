import type { Migration } from "./index.ts";

export const artifacts: Migration = {
  id: 2,
  name: "artifacts",
  sql: `
create table artifacts (
  id bigint generated always as identity primary key,
  job bigint not null,
  attempt integer not null,
  name text not null,
  kind text not null check (kind in ('file-archive', 'diff')),
  bytes bigint not null,
  sha256 text not null,
  blob text not null unique,
  created_at timestamptz not null default airlock_now(),
  unique (job, attempt, name),
  foreign key (job, attempt) references attempts (job, attempt) on delete cascade
);

-- Blobs without an owner, to be deleted from the store at due_at. An upload is listed here from before its first byte
-- until it becomes an artifact, so an upload that ended with its instance is deleted, too.
create table blob_garbage (
  blob text primary key,
  due_at timestamptz not null default airlock_now()
);
create index blob_garbage_due_at on blob_garbage (due_at);

-- Deletes the blob with its row: when the job or the attempt is deleted, or when the name is uploaded again.
create function discard_artifact_blob() returns trigger language plpgsql as $$
begin
  insert into blob_garbage (blob) values (old.blob) on conflict (blob) do update set due_at = excluded.due_at;
  return old;
end $$;
create trigger discard_artifact_blob after delete on artifacts for each row execute function discard_artifact_blob();

-- The steps' results as the executor reports them: a list of {key, state, exitCode, durationMs}.
alter table attempts add column steps jsonb;
`,
};
