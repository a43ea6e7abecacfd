import { sql } from "kysely";
import type { Database } from "../store/database.ts";

/** Retention times; `null`: forever. */
export interface Retention {
  /** For jobs with their attempts, logs and artifacts, since the job's end. */
  readonly jobsMs: number | null;
  /** For artifacts, since they were stored. */
  readonly artifactsMs: number | null;
}

/** Rows per transaction, so that a large cleanup doesn't hold locks for long. */
const batchSize = 200;
/** Time in which a client must send all parts of an upload. */
const unfinishedUploadMs = 24 * 3600 * 1000;

/** Deletes what is past its retention time. Garbage collection deletes the blobs later. */
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

/** Deletes code index uploads that were never finished. All their parts become garbage, whether they arrived or not. */
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
