import { newOwnMark, ownLines } from "@airlock/api";
import { sql } from "kysely";
import type { Database } from "../store/database.ts";
import { executePrepared } from "../store/prepared-statements.ts";
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
  /** Less than `length` if the log limit cut the entry. */
  readonly storedLength: number;
  readonly notes: number;
}

export interface LogChunk {
  readonly offset: number;
  readonly stream: LogStream;
  readonly bytes: Buffer;
  /** `null` if the chunk was stored by a version that did not keep the time. */
  readonly receivedAt: Date | null;
}

export interface LogNote {
  readonly noteId: number;
  /** Number of output bytes before the note. */
  readonly offset: number;
  readonly text: string;
}

export interface LogEntryKey {
  readonly job: number;
  readonly attempt: number;
  readonly entryId: number;
}

/** Number of entries that a view of a job lists: more than one attempt may have, less than a hundred may. */
export const maxListedEntries = 5000;

/** Entries of one attempt or of all, ordered by attempt and entry. If there are more than 5000, the last 5000. */
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
    notes: row.notes,
  }));
}

/** Approximate size of one read, so that a reader of a long log holds little of it in memory. */
const pageBytes = 1024 * 1024;

/**
 * The next chunks of an entry from `offset` on, about 1 MiB; empty if nothing is stored there yet. An entry is stored
 * without gaps, so a range of offsets is a range of the index, however long the log is.
 */
export async function readChunks(db: Database, entry: LogEntryKey, offset: number): Promise<LogChunk[]> {
  const { rows } = await executePrepared(
    "read-log-chunks",
    sql<LogChunk>`
    select "offset", stream, bytes, received_at as "receivedAt"
    from log_chunks
    where job = ${entry.job} and attempt = ${entry.attempt} and entry_id = ${entry.entryId}
      and "offset" >= ${offset} and "offset" < ${offset + pageBytes}
    order by "offset" limit 512`,
    db,
  );
  return rows;
}

/** The notes of an entry with numbers greater than `after`. */
export async function readNotes(db: Database, entry: LogEntryKey, after = 0): Promise<LogNote[]> {
  const rows = await db
    .selectFrom("log_notes")
    .select(["note_id", "offset", "note"])
    .where("job", "=", entry.job)
    .where("attempt", "=", entry.attempt)
    .where("entry_id", "=", entry.entryId)
    .where("note_id", ">", after)
    .orderBy("note_id")
    .execute();
  return rows.map((row) => ({ noteId: row.note_id, offset: row.offset, text: row.note }));
}

/** The output of entries: byte for byte, or with a time before each line. */
export async function* readOutput(
  db: Database,
  job: number,
  entries: readonly LogEntryRow[],
  times = false,
): AsyncGenerator<Buffer> {
  const stamp = times ? new LineTimes() : null;
  for (const entry of entries) {
    for await (const chunk of chunksOf(db, job, entry)) yield stamp ? stamp.push(chunk) : chunk.bytes;
  }
}

/** Writes the time at which the instance got a line's beginning before each line of an output. */
class LineTimes {
  #atLineStart = true;

  push({ bytes, receivedAt }: Pick<LogChunk, "bytes" | "receivedAt">): Buffer {
    // Of the same length, so that the lines stay aligned.
    const time = Buffer.from(receivedAt === null ? `${"-".padEnd(24)} ` : `${receivedAt.toISOString()} `);
    const parts: Buffer[] = [];
    for (let start = 0; start < bytes.length; ) {
      const end = bytes.indexOf(newline, start) + 1 || bytes.length;
      parts.push(...(this.#atLineStart ? [time] : []), bytes.subarray(start, end));
      this.#atLineStart = bytes[end - 1] === newline;
      start = end;
    }
    return Buffer.concat(parts);
  }

  /** Another line was begun, for example by a line of the instance. */
  breakLine(): void {
    this.#atLineStart = true;
  }
}

/**
 * The log of an attempt as plain text, with headings and notes. Their lines begin with a mark created for this reading,
 * so that no output can contain it. The output is unchanged, except that a newline is added where another line follows.
 */
export async function* readAnnotatedLog(
  db: Database,
  log: {
    readonly job: number;
    readonly attempt: number;
    readonly entries: readonly LogEntryRow[];
    readonly times: boolean;
  },
): AsyncGenerator<Buffer> {
  const mark = newOwnMark();
  const stamp = log.times ? new LineTimes() : null;
  let lastByte = newline;
  const say = (text: string): Buffer => {
    const lines = ownLines(mark, text);
    const isMidLine = lastByte !== newline;
    lastByte = newline;
    stamp?.breakLine();
    return Buffer.from(isMidLine ? `\n${lines}` : lines);
  };
  yield say(
    `Log of job ${log.job}, attempt ${log.attempt}. Only lines that begin with this mark are written by Airlock.`,
  );
  for (const entry of log.entries) {
    yield say(`==> ${entry.key} <==`);
    const notes = entry.notes === 0 ? [] : await readNotes(db, { ...entry, job: log.job });
    let told = 0;
    for await (const chunk of chunksOf(db, log.job, entry)) {
      for (let note = notes[told]; note !== undefined && note.offset <= chunk.offset; note = notes[++told]) {
        yield say(note.text);
      }
      yield stamp ? stamp.push(chunk) : chunk.bytes;
      lastByte = chunk.bytes.at(-1) ?? lastByte;
    }
    for (const { text } of notes.slice(told)) yield say(text);
    if (entry.storedLength < entry.length) yield say(cutNotice(entry));
  }
}

/** Yields the output that the entry had when it was listed. */
async function* chunksOf(db: Database, job: number, entry: LogEntryRow): AsyncGenerator<LogChunk> {
  let offset = 0;
  while (offset < entry.storedLength) {
    const chunks = await readChunks(db, { ...entry, job }, offset);
    if (chunks.length === 0) return;
    for (const chunk of chunks) {
      yield chunk;
      offset = chunk.offset + chunk.bytes.length;
    }
  }
}

const newline = 0x0a;

/** One sentence that says how much is missing. */
export function cutNotice(entry: Pick<LogEntryRow, "key" | "length" | "storedLength">): string {
  return `The job reached its log limit: ${entry.length - entry.storedLength} bytes of ${entry.key} were not stored.`;
}
