import { type RawBuilder, sql } from "kysely";
import type { Database } from "../store/database.ts";

/** Retention times; `null`: forever. */
export interface Retention {
  /** For jobs with their attempts, logs and artifacts, since the job's end. */
  readonly jobsMs: number | null;
  /** For artifacts, since they were stored. */
  readonly artifactsMs: number | null;
  /** For uploaded code indexes, since they were finished. */
  readonly uploadsMs: number | null;
}

/** Rows per transaction, so that a large cleanup doesn't hold locks for long. */
const batchSize = 200;
/** Time in which a client must send all parts of an upload. */
const unfinishedUploadMs = 24 * 3600 * 1000;

/** Deletes what is past its retention time. Garbage collection deletes the blobs later. */
export async function applyRetention(db: Database, retention: Retention, signal: AbortSignal): Promise<void> {
  const { jobsMs, artifactsMs, uploadsMs } = retention;
  if (jobsMs !== null) await inBatches(() => deleteJobs(db, jobsMs), signal);
  if (artifactsMs !== null) await inBatches(() => deleteArtifacts(db, artifactsMs), signal);
  if (uploadsMs !== null) await inBatches(() => deleteUploads(db, sql`finished_at < ${before(uploadsMs)}`), signal);
  const abandoned = sql`state = 'uploading' and created_at < ${before(unfinishedUploadMs)}`;
  await inBatches(() => deleteUploads(db, abandoned), signal);
}

async function inBatches(work: () => Promise<number>, signal: AbortSignal): Promise<void> {
  while ((await work()) === batchSize) signal.throwIfAborted();
}

const before = (ms: number) => sql`airlock_now() - make_interval(secs => ${ms / 1000})`;

/** Skips jobs that are locked because an administrator is retrying them. */
async function deleteJobs(db: Database, olderThanMs: number): Promise<number> {
  return db.transaction().execute(async (transaction) => {
    const { rows } = await sql<{ id: number }>`
      select id from jobs where finished_at < ${before(olderThanMs)}
      limit ${batchSize} for update skip locked`.execute(transaction);
    const ids = rows.map(({ id }) => id);
    if (ids.length === 0) return 0;
    // Chunks have no foreign key. Other rows are deleted with the job.
    await sql`delete from log_chunks where job = any(${ids}::bigint[])`.execute(transaction);
    await sql`delete from jobs where id = any(${ids}::bigint[])`.execute(transaction);
    return ids.length;
  });
}

async function deleteArtifacts(db: Database, olderThanMs: number): Promise<number> {
  const { numAffectedRows } = await sql`
    delete from artifacts where id in (
      select id from artifacts where created_at < ${before(olderThanMs)} limit ${batchSize} for update skip locked
    )`.execute(db);
  return Number(numAffectedRows ?? 0);
}

/** Deletes uploads of code indexes. A trigger turns the blobs of their parts into garbage. */
async function deleteUploads(db: Database, which: RawBuilder<unknown>): Promise<number> {
  const { numAffectedRows } = await sql`
    delete from code_intel_uploads where id in (
      select id from code_intel_uploads where ${which} limit ${batchSize} for update skip locked
    )`.execute(db);
  return Number(numAffectedRows ?? 0);
}
