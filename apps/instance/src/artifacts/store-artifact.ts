import { randomUUID } from "node:crypto";
import type { Readable } from "node:stream";
import type { ArtifactKind } from "@airlock/api";
import { AirlockError, formatBytes } from "@airlock/job";
import { sql } from "kysely";
import type { BlobStore } from "../blobs/blob-store.ts";
import type { AttemptKey } from "../queues/end-attempt.ts";
import type { Database } from "../store/database.ts";

export interface NewArtifact {
  readonly name: string;
  readonly kind: ArtifactKind;
  readonly body: Readable;
}

export type StoreArtifactResult =
  | { readonly kind: "stored"; readonly bytes: number }
  /** The attempt is no longer running; nothing was stored. */
  | { readonly kind: "lapsed" }
  | { readonly kind: "refused"; readonly problem: string };

export interface StoreArtifactOptions {
  /** Limit for all artifacts of the attempt together. */
  readonly maxBytes: number;
  /** Limit for all artifacts of the instance; `null`: no limit. Concurrent uploads may exceed it together. */
  readonly quotaBytes: number | null;
  readonly signal: AbortSignal;
}

/** Our executor uploads at most two artifacts per attempt; reject anything far beyond that as abuse. */
const maxArtifactsPerAttempt = 16;
/** Time limit of an upload. After that, garbage collection deletes its bytes. */
const uploadLimit = "1 day";

/**
 * Streams an artifact of a running attempt into the store and replaces one of the same name. Each upload has its own
 * blob key, so it can't disturb a reader of the earlier blob or mix with a concurrent upload.
 * @throws {AirlockError} `blob-too-large` past `maxBytes` for all artifacts of the attempt.
 */
export async function storeArtifact(
  { db, blobs }: { readonly db: Database; readonly blobs: BlobStore },
  key: AttemptKey,
  { name, kind, body }: NewArtifact,
  { maxBytes, quotaBytes, signal }: StoreArtifactOptions,
): Promise<StoreArtifactResult> {
  const others = await db
    .selectFrom("artifacts")
    .select((select) => [
      select.fn.countAll<number>().as("count"),
      sql<number>`coalesce(sum(bytes), 0)::float8`.as("bytes"),
    ])
    .where("job", "=", key.job)
    .where("attempt", "=", key.attempt)
    .where("name", "<>", name)
    .executeTakeFirstOrThrow();
  if (Number(others.count) >= maxArtifactsPerAttempt) {
    return { kind: "refused", problem: `an attempt has at most ${maxArtifactsPerAttempt} artifacts` };
  }
  const room = quotaBytes === null ? Number.POSITIVE_INFINITY : quotaBytes - (await storedBytes(db));
  const full = {
    kind: "refused",
    problem: `the artifacts of this instance fill their quota of ${formatBytes(quotaBytes ?? 0)}`,
  } as const;
  if (room <= 0) return full;
  const own = Math.max(0, maxBytes - others.bytes);
  const blob = `jobs/${key.job}/${key.attempt}/${randomUUID()}`;
  await sql`insert into blob_garbage (blob, due_at) values (${blob}, airlock_now() + ${uploadLimit}::interval)`.execute(
    db,
  );
  let kept = false;
  try {
    const { bytes, sha256 } = await blobs.put(blob, body, { signal, maxBytes: Math.min(own, room) });
    kept = await db.transaction().execute(async (transaction) => {
      // The row lock keeps the attempt from ending before this transaction commits.
      const running = await transaction
        .selectFrom("attempts")
        .select("attempt")
        .where("job", "=", key.job)
        .where("attempt", "=", key.attempt)
        .where("executor", "=", key.executor)
        .where("state", "=", "processing")
        .forUpdate()
        .executeTakeFirst();
      if (!running) return false;
      await transaction
        .deleteFrom("artifacts")
        .where("job", "=", key.job)
        .where("attempt", "=", key.attempt)
        .where("name", "=", name)
        .execute();
      await transaction
        .insertInto("artifacts")
        .values({ job: key.job, attempt: key.attempt, name, kind, bytes, sha256, blob })
        .execute();
      await transaction.deleteFrom("blob_garbage").where("blob", "=", blob).execute();
      return true;
    });
    return kept ? { kind: "stored", bytes } : { kind: "lapsed" };
  } catch (error) {
    if (room < own && error instanceof AirlockError && error.code === "blob-too-large") return full;
    throw error;
  } finally {
    if (!kept) await sql`update blob_garbage set due_at = airlock_now() where blob = ${blob}`.execute(db);
  }
}

async function storedBytes(db: Database): Promise<number> {
  const { rows } = await sql<{ bytes: number }>`
    select coalesce(sum(bytes), 0)::float8 as bytes from artifacts`.execute(db);
  return rows[0]?.bytes ?? 0;
}
