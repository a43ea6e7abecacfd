import { randomUUID } from "node:crypto";
import type { Readable } from "node:stream";
import type { ArtifactKind } from "@airlock/api";
import { sql } from "kysely";
import type { BlobStore } from "../blobs/blob-store.ts";
import type { AttemptKey } from "../queues/end-attempt.ts";
import type { Database } from "../store/database.ts";
import type { StorageQuota } from "./storage-quota.ts";
import { type NewBlob, storeBlob } from "./store-blob.ts";

export interface NewArtifact {
  readonly name: string;
  readonly kind: ArtifactKind;
  readonly body: Readable;
  /** Size of the body, if the client announced it; `null`: not known. */
  readonly announcedBytes: number | null;
}

export type StoreArtifactResult =
  | { readonly kind: "stored"; readonly bytes: number }
  /** The attempt is no longer running; nothing was stored. */
  | { readonly kind: "lapsed" }
  | { readonly kind: "refused"; readonly problem: string };

export interface StoreArtifactOptions {
  /** Limit for all artifacts of the attempt together. */
  readonly maxBytes: number;
  readonly quota: StorageQuota;
  readonly signal: AbortSignal;
}

/** Our executor uploads at most two artifacts per attempt; reject anything far beyond that as abuse. */
const maxArtifactsPerAttempt = 16;

/**
 * Streams an artifact of a running attempt into the store and replaces one of the same name. Each upload has its own
 * blob key, so it can't disturb a reader of the earlier blob or mix with a concurrent upload.
 * @throws {AirlockError} `blob-too-large` past `maxBytes` for all artifacts of the attempt; `quota-exceeded`.
 */
export async function storeArtifact(
  { db, blobs }: { readonly db: Database; readonly blobs: BlobStore },
  key: AttemptKey,
  { name, kind, body, announcedBytes }: NewArtifact,
  { maxBytes, quota, signal }: StoreArtifactOptions,
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
  const job = await db.selectFrom("jobs").select("namespace").where("id", "=", key.job).executeTakeFirst();
  if (!job) return { kind: "lapsed" };
  const blob: NewBlob = {
    key: `jobs/${key.job}/${key.attempt}/${randomUUID()}`,
    owner: { kind: "artifacts", owner: job.namespace, quota },
    body,
    announcedBytes,
    maxBytes: Math.max(0, maxBytes - others.bytes),
  };
  const stored = await storeBlob({ db, blobs }, blob, signal, async (transaction, { bytes, sha256 }) => {
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
      .values({ job: key.job, attempt: key.attempt, name, kind, bytes, sha256, blob: blob.key })
      .execute();
    return true;
  });
  return stored ? { kind: "stored", bytes: stored.bytes } : { kind: "lapsed" };
}
