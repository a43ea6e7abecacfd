import { type Kysely, sql } from "kysely";
import type { AttemptKey } from "../queues/end-attempt.ts";
import type { Schema } from "../store/schema.ts";

export interface NewLogNote {
  readonly entryId: number;
  readonly noteId: number;
  readonly offset: number;
  readonly text: string;
}

/** Stores notes of entries that are already stored. */
export async function insertLogNotes(db: Kysely<Schema>, key: AttemptKey, notes: readonly NewLogNote[]): Promise<void> {
  if (notes.length === 0) return;
  await db
    .insertInto("log_notes")
    .values(
      notes.map(({ entryId, noteId, offset, text }) => ({
        job: key.job,
        attempt: key.attempt,
        entry_id: entryId,
        note_id: noteId,
        offset,
        note: text,
      })),
    )
    .execute();
}

export async function bytesOfNotes(db: Kysely<Schema>, key: AttemptKey): Promise<number> {
  const { total } = await db
    .selectFrom("log_notes")
    .select(sql<number>`coalesce(sum(octet_length(note)), 0)::float8`.as("total"))
    .where("job", "=", key.job)
    .where("attempt", "=", key.attempt)
    .executeTakeFirstOrThrow();
  return total;
}
