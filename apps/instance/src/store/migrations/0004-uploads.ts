import type { Migration } from "./index.ts";

export const uploads: Migration = {
  id: 4,
  name: "uploads",
  sql: `
create table code_intel_uploads (
  id bigint generated always as identity primary key,
  state text not null default 'uploading' check (state in ('uploading', 'uploaded')),
  repository text not null,
  commit text not null,
  root text not null,
  indexer_name text not null,
  indexer_version text not null,
  associated_index_id bigint,
  content_type text not null,
  uncompressed_bytes bigint,
  num_parts integer not null check (num_parts >= 1),
  uploaded_parts integer[] not null default '{}',
  created_at timestamptz not null default now(),
  finished_at timestamptz
);
create index code_intel_uploads_repository on code_intel_uploads (repository, commit);
`,
};
