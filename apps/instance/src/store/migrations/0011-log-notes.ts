import type { Migration } from "./index.ts";

export const logNotes: Migration = {
  id: 11,
  name: "log-notes",
  sql: `
-- Messages of the executor about an entry. They are separate from the output, so that no step can forge or hide them.
alter table log_entries add column notes integer not null default 0;
create table log_notes (
  job bigint not null,
  attempt integer not null,
  entry_id integer not null,
  note_id integer not null,
  -- How much output comes before the note.
  "offset" bigint not null,
  note text not null,
  primary key (job, attempt, entry_id, note_id),
  foreign key (job, attempt, entry_id) references log_entries (job, attempt, entry_id) on delete cascade
);
`,
};
