import type { JobLiveEvent, JobView } from "@airlock/api";
import { Wakeup } from "@airlock/async";
import { isFinished } from "@airlock/job";
import { type LogEntryRow, type LogNote, listLogEntries, readChunks, readNotes } from "../logs/read-log.ts";
import type { Database } from "../store/database.ts";
import type { Notifications } from "../store/notifications.ts";
import { getJobWithEntries, toLogEntryView, type VisibleNamespaces } from "./job-views.ts";

export interface FollowContext {
  readonly db: Database;
  readonly notifications: Notifications;
}

/** Position in a job's log: the last chunk that the client saw. */
export interface LogPosition {
  readonly attempt: number;
  readonly entryId: number;
  readonly offset: number;
}

export interface FollowedEvent {
  /**
   * `attempt.entryId.offset` of a chunk after which only newer data can follow, so that resuming there misses nothing.
   */
  readonly id: string | null;
  readonly event: JobLiveEvent;
}

/** Polling interval. Notices may be lost, and the explanation changes with time. */
const lookAgainMs = 2000;

interface EntryProgress {
  offset: number;
  /** Number of the last note that was sent. */
  notes: number;
  shown: string;
}

/**
 * Sends the job, its entries and all output so far, then everything new, until the job is finished. Offsets say what
 * was sent, so stored and live output have neither gaps nor duplicates. After a resume, chunks without an id may be
 * repeated; their offsets show it.
 */
export async function* followJob(
  context: FollowContext,
  job: number,
  options: {
    readonly after: LogPosition | null;
    readonly signal: AbortSignal;
    /** What the reader sees of other jobs, asked again before each look. */
    readonly visible: () => VisibleNamespaces;
  },
): AsyncGenerator<FollowedEvent> {
  const { signal } = options;
  const news = new Wakeup();
  let jobChanged = true;
  const unsubscribe = context.notifications.subscribe((notice) => {
    if ((notice.kind !== "job" && notice.kind !== "log" && notice.kind !== "cancel") || notice.job !== job) return;
    if (notice.kind !== "log") jobChanged = true;
    news.wake();
  });
  try {
    const progress = new Map<string, EntryProgress>();
    let shownJob = "";
    let lookedAt = 0;
    let finished = false;
    while (!signal.aborted) {
      let entries: readonly LogEntryRow[];
      if (jobChanged || Date.now() - lookedAt >= lookAgainMs) {
        jobChanged = false;
        lookedAt = Date.now();
        const found = await getJobWithEntries(context.db, job, options.visible());
        if (!found) return;
        entries = found.entries;
        // Checked before the output is read. If the job is finished, no output can come after that read.
        finished = isFinished(found.view.state);
        const digest = digestOf(found.view);
        if (digest !== shownJob) yield { id: null, event: { kind: "job", job: found.view } };
        shownJob = digest;
      } else {
        entries = await listLogEntries(context.db, job);
      }
      if (progress.size === 0) await skipSeen(context.db, job, entries, options.after, progress);
      yield* newOutput(context.db, job, entries, progress, finished);
      if (finished) {
        yield { id: null, event: { kind: "end" } };
        return;
      }
      await news.wait(lookAgainMs, signal);
    }
  } finally {
    unsubscribe();
  }
}

async function* newOutput(
  db: Database,
  job: number,
  entries: readonly LogEntryRow[],
  progress: Map<string, EntryProgress>,
  finished: boolean,
): AsyncGenerator<FollowedEvent> {
  const lastAttempt = entries.at(-1)?.attempt ?? 0;
  let nothingOlder = true;
  for (const entry of entries) {
    const key = `${entry.attempt}.${entry.entryId}`;
    const seen = progress.get(key) ?? { offset: 0, notes: 0, shown: "" };
    progress.set(key, seen);
    const view = toLogEntryView(entry);
    const shown = JSON.stringify(view);
    if (shown !== seen.shown) yield { id: null, event: { kind: "entry", entry: view } };
    seen.shown = shown;
    const entryKey = { job, attempt: entry.attempt, entryId: entry.entryId };
    const notes = seen.notes < entry.notes ? await readNotes(db, entryKey, seen.notes) : [];
    let told = 0;
    while (seen.offset < entry.storedLength) {
      const chunks = await readChunks(db, entryKey, seen.offset);
      if (chunks.length === 0) break;
      for (const chunk of chunks) {
        const { offset, stream, receivedAt } = chunk;
        for (let note = notes[told]; note !== undefined && note.offset <= offset; note = notes[++told]) {
          yield noteEvent(entry, note);
        }
        yield {
          id: nothingOlder ? `${key}.${offset}` : null,
          event: {
            kind: "chunk",
            attempt: entry.attempt,
            entryId: entry.entryId,
            offset,
            stream,
            data: chunk.bytes.toString("base64"),
            ...(receivedAt === null ? {} : { receivedAt: receivedAt.toISOString() }),
          },
        };
        seen.offset = offset + chunk.bytes.length;
      }
    }
    for (const note of notes.slice(told)) yield noteEvent(entry, note);
    seen.notes = notes.at(-1)?.noteId ?? seen.notes;
    nothingOlder &&= finished || entry.exitCode !== null || entry.attempt < lastAttempt;
  }
}

function noteEvent({ attempt, entryId }: LogEntryRow, note: LogNote): FollowedEvent {
  return { id: null, event: { kind: "note", attempt, entryId, ...note } };
}

/** Marks what the client saw before it reconnected as sent. */
async function skipSeen(
  db: Database,
  job: number,
  entries: readonly LogEntryRow[],
  after: LogPosition | null,
  progress: Map<string, EntryProgress>,
): Promise<void> {
  if (!after) return;
  for (const entry of entries) {
    const order = entry.attempt - after.attempt || entry.entryId - after.entryId;
    if (order > 0) return;
    let offset = entry.storedLength;
    if (order === 0) {
      const key = { job, attempt: entry.attempt, entryId: entry.entryId };
      const [chunk] = await readChunks(db, key, after.offset);
      offset = chunk?.offset === after.offset ? after.offset + chunk.bytes.length : 0;
    }
    const notes = order === 0 ? 0 : entry.notes;
    progress.set(`${entry.attempt}.${entry.entryId}`, { offset, notes, shown: "" });
  }
}

/** Excludes fields that have their own events (entries) or change with the clock (explanation text). */
function digestOf(view: JobView): string {
  const { entries: _entries, explanation, ...rest } = view;
  return JSON.stringify([rest, explanation.code]);
}
