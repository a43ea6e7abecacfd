import type { Migration } from "./index.ts";

export const logNotes: Migration = {
  id: 11,
  name: "log-notes",
  sql: `
-- What the executor itself says about an entry. Apart from the output, so that no step can write or hide it.
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
