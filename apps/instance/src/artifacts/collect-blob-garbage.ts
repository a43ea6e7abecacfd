import { sql } from "kysely";
import type { BlobStore } from "../blobs/blob-store.ts";
import type { Database } from "../store/database.ts";

const batchSize = 100;

/**
 * Deletes blobs that nothing references any more. The row is deleted after its blob, so an interrupted run is repeated.
 */
export async function collectBlobGarbage(db: Database, blobs: BlobStore, signal: AbortSignal): Promise<void> {
  for (;;) {
    const { rows } = await sql<{ blob: string }>`
      select blob from blob_garbage where due_at <= airlock_now() order by due_at limit ${batchSize}`.execute(db);
    for (const { blob } of rows) {
      await blobs.delete(blob, { signal });
      await db.deleteFrom("blob_garbage").where("blob", "=", blob).execute();
    }
    if (rows.length < batchSize) return;
  }
}
