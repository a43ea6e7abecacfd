import { sql } from "kysely";
import type { Database } from "../store/database.ts";
import type { LogStream } from "../store/schema.ts";

export interface LogEntryRow {
  readonly attempt: number;
  readonly entryId: number;
  readonly key: string;
  readonly command: string[];
  readonly startedAt: Date;
  readonly exitCode: number | null;
  readonly durationMs: number | null;
  readonly length: number;
  /** Less than `length` when the log's limit cut the entry. */
  readonly storedLength: number;
}

export interface LogChunk {
  readonly offset: number;
  readonly stream: LogStream;
  readonly bytes: Buffer;
}

export interface LogEntryKey {
  readonly job: number;
  readonly attempt: number;
  readonly entryId: number;
}

/** What one look at a job shows of its entries: more than an attempt may have, less than a hundred attempts may. */
export const maxListedEntries = 5000;

/** Entries of all attempts or of one, in the order of attempts and entries; the last 5000 where there are more. */
export async function listLogEntries(db: Database, job: number, attempt?: number): Promise<LogEntryRow[]> {
  let query = db.selectFrom("log_entries").selectAll().where("job", "=", job);
  if (attempt !== undefined) query = query.where("attempt", "=", attempt);
  const rows = await query.orderBy("attempt", "desc").orderBy("entry_id", "desc").limit(maxListedEntries).execute();
  return rows.reverse().map((row) => ({
    attempt: row.attempt,
    entryId: row.entry_id,
    key: row.key,
    command: row.command,
    startedAt: row.started_at,
    exitCode: row.exit_code,
    durationMs: row.duration_ms,
    length: row.length,
    storedLength: row.stored_length,
  }));
}

/** About how much one read of chunks brings, so that a reader of a long log holds little of it in memory. */
const pageBytes = 1024 * 1024;

/**
 * The next chunks of an entry from `offset` on, about 1 MiB of them; none when nothing is stored there yet. An entry is
 * stored without gaps, so a range of its offsets is a range of the index, however long the log is.
 */
export async function readChunks(db: Database, entry: LogEntryKey, offset: number): Promise<LogChunk[]> {
  const { rows } = await sql<LogChunk>`/* prepared: read-log-chunks */
    select "offset", stream, bytes
    from log_chunks
    where job = ${entry.job} and attempt = ${entry.attempt} and entry_id = ${entry.entryId}
      and "offset" >= ${offset} and "offset" < ${offset + pageBytes}
    order by "offset" limit 512`.execute(db);
  return rows;
}

/**
 * The log as plain text: of one entry just its output, of several each under a line with its key. The bytes are the
 * job's own; whoever shows them decides what to make of control characters.
 */
export async function* readLogText(db: Database, job: number, entries: readonly LogEntryRow[]): AsyncGenerator<Buffer> {
  for (const entry of entries) {
    if (entries.length > 1) yield Buffer.from(`==> ${entry.key} <==\n`);
    let lastByte = newline;
    let offset = 0;
    for (;;) {
      const chunks = await readChunks(db, { job, attempt: entry.attempt, entryId: entry.entryId }, offset);
      if (chunks.length === 0) break;
      for (const chunk of chunks) {
        yield chunk.bytes;
        offset = chunk.offset + chunk.bytes.length;
        lastByte = chunk.bytes.at(-1) ?? lastByte;
      }
    }
    if (entries.length > 1 && lastByte !== newline) yield Buffer.from("\n");
    if (entry.storedLength < entry.length) yield Buffer.from(`${cutNotice(entry)}\n`);
  }
}

const newline = 0x0a;

/** One sentence about what is missing. */
export function cutNotice(entry: Pick<LogEntryRow, "key" | "length" | "storedLength">): string {
  return `The log limit of the job is reached: ${entry.length - entry.storedLength} bytes of ${entry.key} were not kept.`;
}
