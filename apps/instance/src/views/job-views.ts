import {
  type AttemptView,
  defaultCheckout,
  type JobSummary,
  type JobView,
  type LogEntryView,
  scriptLines,
} from "@airlock/api";
import type { JobState } from "@airlock/job";
import { parseDuration } from "@airlock/job";
import { type Selectable, sql } from "kysely";
import { listArtifacts } from "../artifacts/list-artifacts.ts";
import { cutNotice, type LogEntryRow, listLogEntries, maxListedEntries } from "../logs/read-log.ts";
import type { Database } from "../store/database.ts";
import type { Schema } from "../store/schema.ts";
import { connectedExecutors } from "./connected-executors.ts";
import { type ExecutorFacts, explainJob, obstacleOf } from "./explain-job.ts";
import { stepResults } from "./step-results.ts";

type JobRow = Selectable<Schema["jobs"]>;

const summaryColumns = [
  "id",
  "queue",
  "namespace",
  "state",
  "repository",
  "revision",
  "commit",
  "attempt",
  "executor",
  "queued_at",
  "started_at",
  "finished_at",
  "failure_reason",
  "failure_message",
  "cancel_requested",
  // Demands that decide which executors could take the job.
  "labels",
  "cpu_millis",
  "memory_bytes",
  "disk_bytes",
  "needs",
] as const;

type SummaryRow = Pick<JobRow, (typeof summaryColumns)[number]>;
interface ListedRow extends SummaryRow {
  readonly step_keys: readonly string[];
}

/** Select only the keys: a specification may have megabytes, and a list has hundreds of jobs. */
const stepKeysOfSpec = sql<string[]>`array(
  select coalesce(step.value ->> 'key', (step.ordinality - 1)::text)
  from jsonb_array_elements(spec -> 'steps') with ordinality as step order by step.ordinality)`;

export interface JobFilter {
  readonly states: readonly JobState[];
  readonly queue?: string | undefined;
  readonly repository?: string | undefined;
  readonly namespace?: string | undefined;
  /** Only jobs of these namespaces; `null`: of all. */
  readonly visible: readonly string[] | null;
  /** Labels that the jobs ask for, as pairs of key and value. */
  readonly labels?: readonly (readonly [string, string])[] | undefined;
  /** Part of the repository, the revision, the commit or the reason of the failure, in any case of letters. */
  readonly text?: string | undefined;
  /** Only jobs queued at this time or later, in ISO form. */
  readonly since?: string | undefined;
  /** Only jobs with a smaller id. */
  readonly before?: number | undefined;
  readonly limit: number;
}

/** Newest first. */
export async function listJobs(db: Database, filter: JobFilter): Promise<JobSummary[]> {
  let query = db.selectFrom("jobs").select(summaryColumns).select(stepKeysOfSpec.as("step_keys"));
  if (filter.states.length > 0) query = query.where("state", "in", [...filter.states]);
  if (filter.queue !== undefined) query = query.where("queue", "=", filter.queue);
  if (filter.repository !== undefined) query = query.where("repository", "=", filter.repository);
  if (filter.visible !== null) query = query.where("namespace", "=", sql<string>`any(${filter.visible}::text[])`);
  if (filter.namespace !== undefined) query = query.where("namespace", "=", filter.namespace);
  for (const [key, value] of filter.labels ?? []) {
    query = query.where(sql<boolean>`labels <> '{}' and labels @> ${JSON.stringify({ [key]: value })}::jsonb`);
  }
  if (filter.text) {
    // `strpos` gives no character a special meaning. `concat_ws` leaves out NULL, and the line end separates columns.
    query = query.where(
      sql<boolean>`strpos(lower(concat_ws(E'\\n', repository, revision, "commit", failure_message)), lower(${filter.text}::text)) > 0`,
    );
  }
  if (filter.since !== undefined) query = query.where("queued_at", ">=", new Date(filter.since));
  if (filter.before !== undefined) query = query.where("id", "<", filter.before);
  const rows = await query.orderBy("id", "desc").limit(filter.limit).execute();
  return toJobSummaries(db, rows);
}

/** @param visible Only jobs of these namespaces; `null`: of all. */
export async function getJobSummaries(
  db: Database,
  ids: readonly number[],
  visible: readonly string[] | null,
): Promise<JobSummary[]> {
  if (ids.length === 0) return [];
  let query = db
    .selectFrom("jobs")
    .select(summaryColumns)
    .select(stepKeysOfSpec.as("step_keys"))
    .where("id", "in", [...ids]);
  if (visible !== null) query = query.where("namespace", "=", sql<string>`any(${visible}::text[])`);
  const rows = await query.execute();
  return toJobSummaries(db, rows);
}

async function toJobSummaries(db: Database, rows: readonly ListedRow[]): Promise<JobSummary[]> {
  const queues = rows.filter((row) => row.state === "queued").map((row) => row.queue);
  const [executors, lenient] = await Promise.all([
    connectedExecutors(db, [...new Set(queues)]),
    lenientQueues(db, [...new Set(queues)]),
  ]);
  return rows.map((row) =>
    toJobSummary(
      row,
      row.step_keys,
      executors.filter((executor) => executor.queues.includes(row.queue)),
      lenient.has(row.queue),
    ),
  );
}

/** The namespace of a job; `null`: no such job. */
export async function namespaceOfJob(db: Database, id: number): Promise<string | null> {
  const row = await db.selectFrom("jobs").select("namespace").where("id", "=", id).executeTakeFirst();
  return row?.namespace ?? null;
}

/** The public view of a job, with its log entries as they are stored. */
export interface JobWithEntries {
  readonly view: JobView;
  readonly entries: readonly LogEntryRow[];
}

/** What the reader of a job sees of other jobs: those of these namespaces; `null`: all. */
export type VisibleNamespaces = readonly string[] | null;

export async function getJobView(db: Database, id: number, visible: VisibleNamespaces): Promise<JobView | null> {
  return (await getJobWithEntries(db, id, visible))?.view ?? null;
}

export async function getJobWithEntries(
  db: Database,
  id: number,
  visible: VisibleNamespaces,
): Promise<JobWithEntries | null> {
  const { rows } = await sql<JobRow & FactColumns>`
    select jobs.*, airlock_now() as now, queues.max_attempts, queues.allow_unenforced, queues.max_wait_ms,
      ahead.count as ahead,
      (extract(epoch from airlock_now() - greatest(executors.last_seen_at, jobs.started_at)) * 1000)::float8 as silent_ms
    from jobs
    join queues on queues.name = jobs.queue
    left join executors on executors.name = jobs.executor
    left join lateral (
      select count(*)::int as count from jobs other
      where other.queue = jobs.queue and other.state = 'queued' and other.visible_at <= airlock_now()
        and (${visible}::text[] is null or other.namespace = any(${visible}::text[]))
        and (other.priority > jobs.priority or (other.priority = jobs.priority and (other.turn, other.id) < (jobs.turn, jobs.id)))
    ) ahead on jobs.state = 'queued'
    where jobs.id = ${id}`.execute(db);
  const row = rows[0];
  if (!row) return null;
  const [attempts, entries, artifacts, executors] = await Promise.all([
    db.selectFrom("attempts").selectAll().where("job", "=", id).orderBy("attempt").execute(),
    listLogEntries(db, id),
    listArtifacts(db, id),
    row.state === "queued" ? connectedExecutors(db, [row.queue]) : [],
  ]);
  const { spec } = row;
  const last = {
    // A queued job's next attempt has no results or entries yet.
    reported: row.state === "queued" ? null : (attempts.find((one) => one.attempt === row.attempt)?.steps ?? null),
    entries: row.state === "queued" ? [] : entries.filter((entry) => entry.attempt === row.attempt),
  };
  const stepKeys = spec.steps.map((step, index) => step.key ?? String(index));
  const results = stepResults(stepKeys, last, row.state);
  const view: JobView = {
    ...toJobSummary(row, stepKeys, executors, row.allow_unenforced),
    priority: row.priority,
    checkout: spec.checkout ?? defaultCheckout,
    labels: spec.labels,
    resources: spec.resources,
    egress: spec.egress ?? null,
    maxWaitMs: row.state === "queued" ? row.max_wait_ms : null,
    timeoutMs: spec.timeout === undefined ? null : (parseDuration(spec.timeout) ?? null),
    outputs: spec.outputs,
    // Jobs stored before this field existed have none.
    diff: spec.diff ?? false,
    upload: spec.upload ?? false,
    services: spec.services ?? [],
    steps: spec.steps.map((step, index) => ({
      key: step.key ?? String(index),
      image: step.image,
      commands: scriptLines(step),
      dir: step.dir,
      // Jobs stored before this field existed have none.
      secrets: step.secrets ?? [],
      state: results[index]?.state ?? "pending",
      exitCode: results[index]?.exitCode ?? null,
      durationMs: results[index]?.durationMs ?? null,
    })),
    exitCode: row.exit_code,
    attempts: attempts.map(toAttemptView),
    entries: entries.map(toLogEntryView),
    artifacts,
    explanation: explainJob({
      now: row.now,
      state: row.state,
      ...demandsOf(row, row.allow_unenforced),
      attempt: row.attempt,
      errors: row.errors,
      maxAttempts: row.max_attempts,
      cancelRequested: row.cancel_requested,
      visibleAt: row.visible_at,
      startedAt: row.started_at,
      executor: row.executor,
      failureMessage: row.failure_message,
      exitCode: row.exit_code,
      ahead: row.ahead ?? 0,
      executors,
      executorSilentMs: row.silent_ms,
    }),
    warnings: [...row.warnings, ...warnings(entries)],
  };
  return { view, entries };
}

interface FactColumns {
  now: Date;
  max_attempts: number;
  allow_unenforced: boolean;
  max_wait_ms: number | null;
  ahead: number | null;
  silent_ms: number | null;
}

function warnings(entries: readonly LogEntryRow[]): string[] {
  const found: string[] = [];
  if (entries.length >= maxListedEntries) found.push(`Only the last ${maxListedEntries} log entries are listed.`);
  for (const entry of entries) if (entry.storedLength < entry.length) found.push(cutNotice(entry));
  return found;
}

/** Those of the queues whose executors may ignore what they do not support. */
async function lenientQueues(db: Database, queues: readonly string[]): Promise<ReadonlySet<string>> {
  if (queues.length === 0) return new Set();
  const rows = await db
    .selectFrom("queues")
    .select("name")
    .where("name", "in", [...queues])
    .where("allow_unenforced", "=", true)
    .execute();
  return new Set(rows.map(({ name }) => name));
}

/** @param executors Executors of the job's queue. Needed only while the job is queued. */
function toJobSummary(
  row: SummaryRow,
  stepKeys: readonly string[],
  executors: readonly ExecutorFacts[],
  allowUnenforced: boolean,
): JobSummary {
  return {
    id: row.id,
    queue: row.queue,
    namespace: row.namespace,
    state: row.state,
    repository: row.repository,
    revision: row.revision,
    commit: row.commit,
    attempt: row.attempt,
    executor: row.executor,
    queuedAt: row.queued_at.toISOString(),
    startedAt: row.started_at?.toISOString() ?? null,
    finishedAt: row.finished_at?.toISOString() ?? null,
    failureReason: row.failure_reason,
    failureMessage: row.failure_message,
    cancelRequested: row.cancel_requested,
    stepKeys: [...stepKeys],
    obstacle:
      row.state === "queued" ? (obstacleOf({ ...demandsOf(row, allowUnenforced), executors })?.message ?? null) : null,
  };
}

function demandsOf(row: SummaryRow, allowUnenforced: boolean) {
  return {
    queue: row.queue,
    labels: row.labels,
    cpuMillis: row.cpu_millis,
    memoryBytes: row.memory_bytes,
    diskBytes: row.disk_bytes,
    needs: row.needs,
    allowUnenforced,
  };
}

function toAttemptView(row: Selectable<Schema["attempts"]>): AttemptView {
  return {
    attempt: row.attempt,
    state: row.state,
    executor: row.executor,
    startedAt: row.started_at.toISOString(),
    finishedAt: row.finished_at?.toISOString() ?? null,
    failureReason: row.failure_reason,
    failureMessage: row.failure_message,
  };
}

export function toLogEntryView(entry: LogEntryRow): LogEntryView {
  return {
    attempt: entry.attempt,
    entryId: entry.entryId,
    key: entry.key,
    command: entry.command,
    startedAt: entry.startedAt.toISOString(),
    exitCode: entry.exitCode,
    durationMs: entry.durationMs,
    length: entry.length,
    notes: entry.notes,
  };
}
