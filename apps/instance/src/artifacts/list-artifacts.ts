import type { ArtifactView } from "@airlock/api";
import type { Selectable } from "kysely";
import type { Database } from "../store/database.ts";
import type { Schema } from "../store/schema.ts";

/** All attempts' artifacts, ordered by attempt and name. */
export async function listArtifacts(db: Database, job: number): Promise<ArtifactView[]> {
  const rows = await db
    .selectFrom("artifacts")
    .selectAll()
    .where("job", "=", job)
    .orderBy("attempt")
    .orderBy("name")
    .execute();
  return rows.map(toArtifactView);
}

/** The artifact and the key of its blob; `null` if the job has no artifact with this number. */
export async function findArtifact(
  db: Database,
  job: number,
  id: number,
): Promise<{ readonly view: ArtifactView; readonly blob: string } | null> {
  const row = await db
    .selectFrom("artifacts")
    .selectAll()
    .where("job", "=", job)
    .where("id", "=", id)
    .executeTakeFirst();
  return row ? { view: toArtifactView(row), blob: row.blob } : null;
}

function toArtifactView(row: Selectable<Schema["artifacts"]>): ArtifactView {
  const { id, attempt, name, kind, bytes, sha256 } = row;
  return { id, attempt, name, kind, bytes, sha256, createdAt: row.created_at.toISOString() };
}
