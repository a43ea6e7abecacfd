import { maxChunkBytes } from "@airlock/api";
import { type Kysely, sql } from "kysely";
import type { AttemptKey } from "../queues/end-attempt.ts";
import type { Database } from "../store/database.ts";
import type { Schema } from "../store/schema.ts";
import { type LogLimits, lockRunningAttempt } from "./append-log-batch.ts";
import { insertLogChunks, type NewLogChunk } from "./insert-log-chunks.ts";
import { parsePrefixedText, type StreamSegment, segmentsBeyond } from "./prefixed-text.ts";

/** A log entry from executors without append-only logs. They send the whole entry each time it grows. */
export interface WholeLogEntry {
  readonly key: string;
  readonly command: readonly string[];
  readonly startTime: string;
  readonly exitCode: number | null;
  readonly durationMs: number | null;
  /** Each line begins with `stdout: ` or `stderr: `. */
  readonly text: string;
}

/**
 * Returns the new entry's position, from 1. `null`: the attempt is no longer running, or has the maximum number of
 * entries.
 */
export async function addLogEntry(
  db: Database,
  key: AttemptKey,
  entry: WholeLogEntry,
  options: Partial<LogLimits> = {},
): Promise<number | null> {
  return db.transaction().execute(async (transaction) => {
    const limits = await lockRunningAttempt(transaction, key, options);
    if (!limits) return null;
    const { last } = await transaction
      .selectFrom("log_entries")
      .select(sql<number>`coalesce(max(entry_id), 0)::int`.as("last"))
      .where("job", "=", key.job)
      .where("attempt", "=", key.attempt)
      .executeTakeFirstOrThrow();
    if (last >= limits.maxEntries) return null;
    const entryId = last + 1;
    await transaction
      .insertInto("log_entries")
      .values({
        job: key.job,
        attempt: key.attempt,
        entry_id: entryId,
        key: entry.key,
        command: JSON.stringify(entry.command),
        started_at: new Date(entry.startTime),
        exit_code: entry.exitCode,
        duration_ms: entry.durationMs,
      })
      .execute();
    await setText(transaction, key, entryId, entry.text, limits);
    return entryId;
  });
}

/** Returns `false` if the attempt is no longer running or has no such entry. */
export async function updateLogEntry(
  db: Database,
  key: AttemptKey,
  entryId: number,
  entry: WholeLogEntry,
  options: Partial<LogLimits> = {},
): Promise<boolean> {
  return db.transaction().execute(async (transaction) => {
    const limits = await lockRunningAttempt(transaction, key, options);
    if (!limits) return false;
    const updated = await transaction
      .updateTable("log_entries")
      .set({ command: JSON.stringify(entry.command), exit_code: entry.exitCode, duration_ms: entry.durationMs })
      .where("job", "=", key.job)
      .where("attempt", "=", key.attempt)
      .where("entry_id", "=", entryId)
      .returning("entry_id")
      .executeTakeFirst();
    if (!updated) return false;
    await setText(transaction, key, entryId, entry.text, limits);
    return true;
  });
}

/** At most 16 MiB in one statement. */
const chunksPerInsert = 64;

async function setText(
  db: Kysely<Schema>,
  key: AttemptKey,
  entryId: number,
  text: string,
  limits: LogLimits,
): Promise<void> {
  const chunksOfEntry = db
    .selectFrom("log_chunks")
    .where("job", "=", key.job)
    .where("attempt", "=", key.attempt)
    .where("entry_id", "=", entryId);
  const { others } = await db
    .selectFrom("log_entries")
    .select(sql<number>`coalesce(sum(stored_length), 0)::float8`.as("others"))
    .where("job", "=", key.job)
    .where("attempt", "=", key.attempt)
    .where("entry_id", "!=", entryId)
    .executeTakeFirstOrThrow();
  const whole = parsePrefixedText(text);
  const next = cut(whole, Math.max(0, limits.maxBytesPerAttempt - others));
  const stored = await chunksOfEntry.select(["stream", "bytes"]).orderBy("offset").execute();
  let added = segmentsBeyond(stored, next);
  let offset = byteLength(stored);
  if (added === null) {
    // Text that was sent before has changed, e.g. a secret that spans two updates was redacted late.
    await db
      .deleteFrom("log_chunks")
      .where("job", "=", key.job)
      .where("attempt", "=", key.attempt)
      .where("entry_id", "=", entryId)
      .execute();
    added = next;
    offset = 0;
  }
  const chunks: NewLogChunk[] = [];
  for (const { stream, bytes } of added) {
    for (let start = 0; start < bytes.length; start += maxChunkBytes) {
      const part = bytes.subarray(start, start + maxChunkBytes);
      chunks.push({ entryId, offset, stream, bytes: part });
      offset += part.length;
    }
  }
  for (let start = 0; start < chunks.length; start += chunksPerInsert) {
    await insertLogChunks(db, key, chunks.slice(start, start + chunksPerInsert));
  }
  await db
    .updateTable("log_entries")
    .set({ length: byteLength(whole), stored_length: offset })
    .where("job", "=", key.job)
    .where("attempt", "=", key.attempt)
    .where("entry_id", "=", entryId)
    .execute();
}

function byteLength(segments: readonly { readonly bytes: Buffer }[]): number {
  return segments.reduce((sum, segment) => sum + segment.bytes.length, 0);
}

function cut(segments: readonly StreamSegment[], maxBytes: number): StreamSegment[] {
  let room = maxBytes;
  const kept: StreamSegment[] = [];
  for (const segment of segments) {
    if (room <= 0) break;
    kept.push({ ...segment, bytes: segment.bytes.subarray(0, room) });
    room -= segment.bytes.length;
  }
  return kept;
}
