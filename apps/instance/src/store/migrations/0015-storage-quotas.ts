import type { Migration } from "./index.ts";

export const storageQuotas: Migration = {
  id: 15,
  name: "storage-quotas",
  sql: `
-- The parts of uploaded code indexes with their sizes. Each upload of a part has its own blob.
create table code_intel_upload_parts (
  upload bigint not null references code_intel_uploads (id) on delete cascade,
  part integer not null,
  bytes bigint not null,
  blob text not null unique,
  primary key (upload, part)
);
-- The sizes of earlier parts are not known.
insert into code_intel_upload_parts (upload, part, bytes, blob)
select id, part, 0, 'uploads/' || id || '/' || part from code_intel_uploads, unnest(uploaded_parts) part;
insert into blob_garbage (blob)
select 'uploads/' || id || '/' || part from code_intel_uploads, generate_series(0, num_parts - 1) part
where state = 'uploading' and part <> all(uploaded_parts)
on conflict do nothing;
alter table code_intel_uploads drop column uploaded_parts;
create index code_intel_uploads_finished on code_intel_uploads (finished_at) where state = 'uploaded';

-- Space that an upload has reserved and blobs that wait for deletion count towards the quotas.
alter table blob_garbage add column kind text not null default 'artifacts' check (kind in ('artifacts', 'uploads'));
-- The namespace of an artifact or the repository of a code index; empty: unknown.
alter table blob_garbage add column owner text not null default '';
alter table blob_garbage add column bytes bigint not null default 0;

create or replace function discard_artifact_blob() returns trigger language plpgsql as $$
begin
  insert into blob_garbage (blob, kind, bytes) values (old.blob, tg_argv[0], old.bytes)
  on conflict (blob) do update set due_at = excluded.due_at;
  return old;
end $$;
drop trigger discard_artifact_blob on artifacts;
create trigger discard_artifact_blob after delete on artifacts
  for each row execute function discard_artifact_blob('artifacts');
create trigger discard_upload_blob after delete on code_intel_upload_parts
  for each row execute function discard_artifact_blob('uploads');
`,
};
