import { type LogEvent, maxNoteBytesPerAttempt, maxNotesPerAttempt } from "@airlock/api";
import { type Kysely, sql } from "kysely";
import type { AttemptKey } from "../queues/end-attempt.ts";
import type { Database } from "../store/database.ts";
import { executePrepared } from "../store/prepared-statements.ts";
import type { Schema } from "../store/schema.ts";
import { insertLogChunks, type NewLogChunk } from "./insert-log-chunks.ts";
import { bytesOfNotes, insertLogNotes, type NewLogNote } from "./insert-log-notes.ts";

/** Limits of an attempt's log. Output past the byte limit is counted and dropped; entries past theirs are refused. */
export interface LogLimits {
  readonly maxEntries: number;
  readonly maxBytesPerAttempt: number;
}

/** A job has at most 1000 steps. The setup and the end of each attempt log, too. */
const maxEntries = 2000;

export type AppendResult =
  | { readonly kind: "appended" }
  /** The attempt is no longer running. */
  | { readonly kind: "lapsed" }
  /** The batch doesn't continue the log. Nothing from the failing event on is stored. */
  | { readonly kind: "conflict"; readonly error: string; readonly entryId: number; readonly expectedOffset: number };

interface EntryState {
  readonly entryId: number;
  length: number;
  storedLength: number;
  notes: number;
  exitCode: number | null;
  durationMs: number | null;
  readonly isNew: boolean;
  changed: boolean;
  readonly key: string;
  readonly command: string;
  readonly startTime: string;
}

/**
 * Appends to the log of a running attempt. Idempotent: sending a batch again changes nothing. Bytes that differ from
 * those stored at their offset, or that leave a gap, are a conflict.
 */
export async function appendLogBatch(
  db: Database,
  key: AttemptKey,
  events: readonly LogEvent[],
  options: Partial<LogLimits> = {},
): Promise<AppendResult> {
  const content = decode(events);
  return db.transaction().execute(async (transaction) => {
    const limits = await lockRunningAttempt(transaction, key, options);
    if (!limits) return { kind: "lapsed" };
    const ids = [...new Set(events.map((event) => event.entryId))];
    const { entries, totals } = await loadLog(transaction, key, ids);
    const chunks: NewLogChunk[] = [];
    const notes: NewLogNote[] = [];
    let conflict: AppendResult | null = null;
    for (const [index, event] of events.entries()) {
      const bytes = content[index] ?? Buffer.alloc(0);
      conflict = await applyLogEvent(transaction, key, { event, bytes }, { entries, totals, chunks, notes, limits });
      if (conflict) break;
    }
    await store(transaction, key, [...entries.values()], chunks, notes);
    return conflict ?? { kind: "appended" };
  });
}

/** Decodes the bytes of each event, contiguous in one buffer. Events without bytes get empty ones. */
function decode(events: readonly LogEvent[]): Buffer[] {
  const sizes = events.map((event) => (event.kind === "chunk" ? Buffer.byteLength(event.data, "base64") : 0));
  const all = Buffer.allocUnsafeSlow(sizes.reduce((sum, size) => sum + size, 0));
  let end = 0;
  return events.map((event) => {
    const start = end;
    if (event.kind === "chunk") end += all.write(event.data, start, "base64");
    return all.subarray(start, end);
  });
}

/**
 * Serializes the writers of one attempt, and keeps the attempt from ending before this transaction commits. Returns the
 * log limits: those of the queue unless `options` override them. `null`: the attempt is no longer running.
 */
export async function lockRunningAttempt(
  db: Kysely<Schema>,
  key: AttemptKey,
  options: Partial<LogLimits> = {},
): Promise<LogLimits | null> {
  const { rows } = await sql<{ max_log_bytes: number }>`
    select (select max_log_bytes from queues join jobs on jobs.queue = queues.name where jobs.id = ${key.job})
    from attempts
    where job = ${key.job} and attempt = ${key.attempt} and executor = ${key.executor} and state = 'processing'
    for update`.execute(db);
  const row = rows[0];
  return row ? { maxEntries, maxBytesPerAttempt: row.max_log_bytes, ...options } : null;
}

interface StoredLog {
  readonly entries: Map<number, EntryState>;
  readonly totals: { entries: number; storedBytes: number; notes: number; noteBytes: number };
}

interface Progress extends StoredLog {
  readonly chunks: NewLogChunk[];
  readonly notes: NewLogNote[];
  readonly limits: LogLimits;
}

async function applyLogEvent(
  db: Kysely<Schema>,
  key: AttemptKey,
  { event, bytes }: { readonly event: LogEvent; readonly bytes: Buffer },
  progress: Progress,
): Promise<AppendResult | null> {
  const entry = progress.entries.get(event.entryId);
  if (event.kind === "open") return entry ? null : openEntry(event, progress);
  if (!entry) return conflictAt(event.entryId, 0, `entry ${event.entryId} is not open`);
  if (event.kind === "close") {
    if (entry.exitCode === null) {
      entry.exitCode = event.exitCode;
      entry.durationMs = event.durationMs;
      entry.changed = true;
    }
    return null;
  }
  if (event.kind === "note") return addNote(entry, event, progress);
  if (event.offset > entry.length) {
    return conflictAt(event.entryId, entry.length, `bytes ${entry.length} to ${event.offset} are missing`);
  }
  if (event.offset < entry.length) return compareWithStored(db, key, event, bytes, entry, progress);
  if (entry.exitCode !== null) return conflictAt(event.entryId, entry.length, `entry ${event.entryId} is closed`);
  append(entry, { entryId: event.entryId, offset: event.offset, stream: event.stream, bytes }, progress);
  return null;
}

function openEntry(event: Extract<LogEvent, { kind: "open" }>, progress: Progress): AppendResult | null {
  if (event.entryId !== progress.totals.entries + 1) {
    return conflictAt(event.entryId, 0, `entry ${progress.totals.entries + 1} comes next`);
  }
  if (progress.totals.entries >= progress.limits.maxEntries) {
    return conflictAt(event.entryId, 0, `an attempt has at most ${progress.limits.maxEntries} log entries`);
  }
  progress.totals.entries += 1;
  progress.entries.set(event.entryId, {
    entryId: event.entryId,
    key: event.key,
    command: JSON.stringify(event.command),
    startTime: event.startTime,
    length: 0,
    storedLength: 0,
    notes: 0,
    exitCode: null,
    durationMs: null,
    isNew: true,
    changed: true,
  });
  return null;
}

function append(entry: EntryState, chunk: NewLogChunk, progress: Progress): void {
  const room = progress.limits.maxBytesPerAttempt - progress.totals.storedBytes;
  entry.length += chunk.bytes.length;
  entry.changed = true;
  // After an entry was cut, store nothing behind the cut, so that the stored part has no gaps.
  const whole = entry.storedLength === chunk.offset;
  const kept = whole ? chunk.bytes.subarray(0, Math.max(0, room)) : Buffer.alloc(0);
  if (kept.length === 0) return;
  progress.chunks.push({ ...chunk, bytes: kept });
  entry.storedLength += kept.length;
  progress.totals.storedBytes += kept.length;
}

/** Keeps notes regardless of the log limit, so that output can't displace the executor's messages. */
function addNote(
  entry: EntryState,
  { entryId, noteId, offset, text }: Extract<LogEvent, { kind: "note" }>,
  { totals, notes }: Progress,
): AppendResult | null {
  // A repeated note.
  if (noteId <= entry.notes) return null;
  if (noteId > entry.notes + 1) return conflictAt(entryId, entry.length, `note ${entry.notes + 1} comes next`);
  if (offset > entry.length) {
    return conflictAt(entryId, entry.length, `bytes ${entry.length} to ${offset} are missing`);
  }
  if (entry.exitCode !== null) return conflictAt(entryId, entry.length, `entry ${entryId} is closed`);
  const bytes = Buffer.byteLength(text);
  if (totals.notes >= maxNotesPerAttempt || totals.noteBytes + bytes > maxNoteBytesPerAttempt) {
    const most = `${maxNotesPerAttempt} notes, with ${maxNoteBytesPerAttempt} bytes in all`;
    return conflictAt(entryId, entry.length, `an attempt has at most ${most}`);
  }
  totals.notes += 1;
  totals.noteBytes += bytes;
  entry.notes += 1;
  entry.changed = true;
  notes.push({ entryId, noteId, offset, text });
  return null;
}

/** A repeated chunk: no change if it equals the stored bytes, otherwise a conflict. */
async function compareWithStored(
  db: Kysely<Schema>,
  key: AttemptKey,
  event: Extract<LogEvent, { kind: "chunk" }>,
  bytes: Buffer,
  entry: EntryState,
  progress: Progress,
): Promise<AppendResult | null> {
  const end = event.offset + bytes.length;
  if (end > entry.length) return conflictAt(event.entryId, entry.length, "the chunk overlaps the end of the entry");
  const stored = await db
    .selectFrom("log_chunks")
    .select(["offset", "stream", "bytes"])
    .where("job", "=", key.job)
    .where("attempt", "=", key.attempt)
    .where("entry_id", "=", event.entryId)
    .where("offset", "<", end)
    .where(sql<number>`"offset" + length(bytes)`, ">", event.offset)
    .orderBy("offset")
    .execute();
  const pending = progress.chunks.filter(
    (chunk) =>
      chunk.entryId === event.entryId && chunk.offset < end && chunk.offset + chunk.bytes.length > event.offset,
  );
  for (const chunk of [...stored, ...pending]) {
    const from = Math.max(chunk.offset, event.offset);
    const to = Math.min(chunk.offset + chunk.bytes.length, end);
    const before = chunk.bytes.subarray(from - chunk.offset, to - chunk.offset);
    if (chunk.stream !== event.stream || !before.equals(bytes.subarray(from - event.offset, to - event.offset))) {
      return conflictAt(event.entryId, entry.length, `other bytes are stored at offset ${from}`);
    }
  }
  return null;
}

function conflictAt(entryId: number, expectedOffset: number, error: string): AppendResult {
  return { kind: "conflict", error, entryId, expectedOffset };
}

interface EntryRow {
  entries: number;
  stored: number;
  all_notes: number;
  entry_id: number | null;
  length: number;
  stored_length: number;
  notes: number;
  exit_code: number | null;
  duration_ms: number | null;
}

/** Loads those of the given entries that exist, and the totals of the attempt's log. */
async function loadLog(db: Kysely<Schema>, key: AttemptKey, ids: readonly number[]): Promise<StoredLog> {
  const { rows } = await executePrepared(
    "load-log",
    sql<EntryRow>`
    select totals.entries, totals.stored, totals.all_notes, entry.entry_id, entry.length, entry.stored_length, entry.notes,
      entry.exit_code, entry.duration_ms
    from (
      select coalesce(max(entry_id), 0)::int as entries, coalesce(sum(stored_length), 0)::float8 as stored,
        coalesce(sum(notes), 0)::int as all_notes
      from log_entries where job = ${key.job} and attempt = ${key.attempt}
    ) totals
    left join log_entries entry
      on entry.job = ${key.job} and entry.attempt = ${key.attempt} and entry.entry_id = any(${ids}::integer[])`,
    db,
  );
  const entries = new Map<number, EntryState>();
  for (const row of rows) {
    if (row.entry_id === null) continue;
    entries.set(row.entry_id, {
      entryId: row.entry_id,
      length: row.length,
      storedLength: row.stored_length,
      notes: row.notes,
      exitCode: row.exit_code,
      durationMs: row.duration_ms,
      isNew: false,
      changed: false,
      key: "",
      command: "",
      startTime: "",
    });
  }
  const notes = rows[0]?.all_notes ?? 0;
  const noteBytes = notes === 0 ? 0 : await bytesOfNotes(db, key);
  return { entries, totals: { entries: rows[0]?.entries ?? 0, storedBytes: rows[0]?.stored ?? 0, notes, noteBytes } };
}

async function store(
  db: Kysely<Schema>,
  key: AttemptKey,
  entries: readonly EntryState[],
  chunks: readonly NewLogChunk[],
  notes: readonly NewLogNote[],
): Promise<void> {
  const opened = entries.filter((entry) => entry.isNew);
  if (opened.length > 0) {
    await db
      .insertInto("log_entries")
      .values(
        opened.map((entry) => ({
          job: key.job,
          attempt: key.attempt,
          entry_id: entry.entryId,
          key: entry.key,
          command: entry.command,
          started_at: new Date(entry.startTime),
          exit_code: entry.exitCode,
          duration_ms: entry.durationMs,
          length: entry.length,
          stored_length: entry.storedLength,
          notes: entry.notes,
        })),
      )
      .execute();
  }
  const grown = entries.filter((entry) => entry.changed && !entry.isNew);
  if (grown.length > 0) {
    await executePrepared(
      "update-log-entries",
      sql`
      update log_entries set length = grown.length, stored_length = grown.stored_length,
        notes = grown.notes, exit_code = grown.exit_code, duration_ms = grown.duration_ms
      from unnest(
        ${grown.map((entry) => entry.entryId)}::integer[],
        ${grown.map((entry) => entry.length)}::bigint[],
        ${grown.map((entry) => entry.storedLength)}::bigint[],
        ${grown.map((entry) => entry.notes)}::integer[],
        ${grown.map((entry) => entry.exitCode)}::integer[],
        ${grown.map((entry) => entry.durationMs)}::bigint[]
      ) as grown (entry_id, length, stored_length, notes, exit_code, duration_ms)
      where job = ${key.job} and attempt = ${key.attempt} and log_entries.entry_id = grown.entry_id`,
      db,
    );
  }
  await insertLogChunks(db, key, chunks);
  await insertLogNotes(db, key, notes);
}
