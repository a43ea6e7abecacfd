import { sql } from "kysely";
import type { Database } from "../store/database.ts";

/** How long things are kept; `null`: for ever. */
export interface Retention {
  /** Jobs with their attempts, logs and artifacts, from their end. */
  readonly jobsMs: number | null;
  /** Artifacts, from when they were stored. */
  readonly artifactsMs: number | null;
}

/** One transaction each: a sweep of many must not hold locks for long. */
const batchSize = 200;
/** What a client may take for all parts of an upload. */
const unfinishedUploadMs = 24 * 3600 * 1000;

/** Deletes what is past its time. Blobs go with the next collection of garbage. */
export async function applyRetention(db: Database, retention: Retention, signal: AbortSignal): Promise<void> {
  const { jobsMs, artifactsMs } = retention;
  if (jobsMs !== null) await inBatches(() => deleteJobs(db, jobsMs), signal);
  if (artifactsMs !== null) await inBatches(() => deleteArtifacts(db, artifactsMs), signal);
  await inBatches(() => deleteUnfinishedUploads(db), signal);
}

async function inBatches(work: () => Promise<number>, signal: AbortSignal): Promise<void> {
  while ((await work()) === batchSize) signal.throwIfAborted();
}

const before = (ms: number) => sql`airlock_now() - make_interval(secs => ${ms / 1000})`;

/** A job that is tried again by hand meanwhile is locked by that, and stays. */
async function deleteJobs(db: Database, olderThanMs: number): Promise<number> {
  return db.transaction().execute(async (transaction) => {
    const { rows } = await sql<{ id: number }>`
      select id from jobs where finished_at < ${before(olderThanMs)}
      limit ${batchSize} for update skip locked`.execute(transaction);
    const ids = rows.map(({ id }) => id);
    if (ids.length === 0) return 0;
    // Chunks have no foreign key; the rest goes with the job.
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

/** Code indexes that were never finished. Their parts are named as garbage whether they came or not. */
async function deleteUnfinishedUploads(db: Database): Promise<number> {
  const { rows } = await sql<{ count: number }>`
    with gone as (
      delete from code_intel_uploads where id in (
        select id from code_intel_uploads
        where state = 'uploading' and created_at < ${before(unfinishedUploadMs)}
        limit ${batchSize} for update skip locked
      ) returning id, num_parts
    ), garbage as (
      insert into blob_garbage (blob)
      select 'uploads/' || id || '/' || part from gone, generate_series(0, num_parts - 1) part
      on conflict do nothing
    )
    select count(*)::int as count from gone`.execute(db);
  return rows[0]?.count ?? 0;
}
