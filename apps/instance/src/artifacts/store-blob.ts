import { type Readable, Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import { type Kysely, sql } from "kysely";
import type { BlobStore, StoredBlob } from "../blobs/blob-store.ts";
import type { Database } from "../store/database.ts";
import type { Schema } from "../store/schema.ts";
import { reserveStorage, type StorageOwner } from "./storage-quota.ts";

export interface NewBlob {
  /** A key that no other upload uses. */
  readonly key: string;
  readonly owner: StorageOwner;
  readonly body: Readable;
  /** Size of the body, if the client announced it; `null`: not known. */
  readonly announcedBytes: number | null;
  readonly maxBytes: number;
}

/** Time limit of an upload. After that, garbage collection deletes its bytes. */
const uploadLifetime = "1 day";
/** An upload of unknown size reserves space in steps of this size. */
const stepBytes = 8 * 1024 * 1024;

/**
 * Streams a body into a new blob. Space is reserved before it is written, so that uploads that run at once can't exceed
 * a quota together. `keep` records the blob in its transaction, or returns `false` to discard it.
 * @throws {AirlockError} `quota-exceeded`, `blob-too-large`.
 */
export async function storeBlob(
  { db, blobs }: { readonly db: Database; readonly blobs: BlobStore },
  { key, owner, body, announcedBytes, maxBytes }: NewBlob,
  signal: AbortSignal,
  keep: (transaction: Kysely<Schema>, stored: StoredBlob) => Promise<boolean>,
): Promise<StoredBlob | null> {
  const reserve = (wanted: number, least: number) =>
    reserveStorage(db, key, owner, { wanted, least, lifetime: uploadLifetime });
  let reserved: number;
  try {
    const announced = announcedBytes === null ? null : Math.min(announcedBytes, maxBytes);
    reserved = await reserve(announced ?? Math.min(stepBytes, maxBytes), announced ?? 0);
  } catch (error) {
    body.destroy();
    throw error;
  }
  let kept = false;
  try {
    let written = 0;
    const paced = new Transform({
      transform(chunk: Buffer, _encoding, done) {
        written += chunk.length;
        if (written <= reserved || written > maxBytes) {
          done(null, chunk);
          return;
        }
        reserve(Math.max(stepBytes, written - reserved), written - reserved).then(
          (more) => {
            reserved += more;
            done(null, chunk);
          },
          (error: Error) => done(error),
        );
      },
    });
    const piped = pipeline(body, paced, { signal });
    // The blob store gets the error from `paced`.
    piped.catch(() => {});
    const stored = await blobs.put(key, paced, { signal, maxBytes });
    kept = await db.transaction().execute(async (transaction) => {
      if (!(await keep(transaction, stored))) return false;
      await transaction.deleteFrom("blob_garbage").where("blob", "=", key).execute();
      return true;
    });
    return kept ? stored : null;
  } finally {
    if (!kept) await sql`update blob_garbage set due_at = airlock_now() where blob = ${key}`.execute(db);
  }
}
