import { type CreateQueueRequest, defaultQueueName, type QueueView, type UpdateQueueRequest } from "@airlock/api";
import { AirlockError } from "@airlock/job";
import { type Selectable, sql, type Updateable } from "kysely";
import type { z } from "zod";
import type { Database } from "../store/database.ts";
import type { Schema } from "../store/schema.ts";

type QueueRow = Selectable<Schema["queues"]> & { queued: number; processing: number; oldest_ms: number | null };

/** The namespaces whose jobs the reader sees; `null`: all. */
type VisibleNamespaces = readonly string[] | null;

/** Lists queues by name, with the counts of visible jobs. With `name`, only this one. */
export async function listQueues(
  db: Database,
  visible: VisibleNamespaces,
  name: string | null = null,
): Promise<QueueView[]> {
  const counted = sql`(${visible}::text[] is null or namespace = any(${visible}::text[]))`;
  const { rows } = await sql<QueueRow>`
    select queues.*,
      coalesce(waiting.jobs, 0)::int as queued, coalesce(running.jobs, 0)::int as processing,
      (extract(epoch from airlock_now() - waiting.oldest) * 1000)::float8 as oldest_ms
    from queues
    left join (select queue, count(*) as jobs, min(queued_at) as oldest from jobs
      where state = 'queued' and ${counted} group by queue)
      waiting on waiting.queue = queues.name
    left join (select queue, count(*) as jobs from jobs
      where state = 'processing' and ${counted} group by queue)
      running on running.queue = queues.name
    where ${name}::text is null or queues.name = ${name}
    order by queues.name`.execute(db);
  return rows.map((row) => ({
    name: row.name,
    queued: row.queued,
    processing: row.processing,
    oldestQueuedMs: row.oldest_ms === null ? null : Math.max(0, Math.round(row.oldest_ms)),
    maxAttempts: row.max_attempts,
    maxLosses: row.max_losses,
    backoffMs: row.backoff_ms,
    backoffMaxMs: row.backoff_max_ms,
    leaseMs: row.lease_ms,
    heartbeatIntervalMs: row.heartbeat_interval_ms,
    concurrencyLimit: row.concurrency_limit,
    namespaceConcurrencyLimit: row.namespace_concurrency_limit,
    weight: row.weight,
    maxLogBytes: row.max_log_bytes,
    allowUnenforced: row.allow_unenforced,
    maxWaitMs: row.max_wait_ms,
  }));
}

/** Number of attempts opened in the last 5 minutes, by queue. */
export async function countRecentDequeues(db: Database): Promise<ReadonlyMap<string, number>> {
  const { rows } = await sql<{ queue: string; count: number }>`
    select jobs.queue, count(*)::int as count from attempts join jobs on jobs.id = attempts.job
    where attempts.started_at > airlock_now() - interval '5 minutes'
    group by jobs.queue`.execute(db);
  return new Map(rows.map(({ queue, count }) => [queue, count]));
}

/** @throws {AirlockError} `queue-exists`. */
export async function createQueue(db: Database, queue: z.output<typeof CreateQueueRequest>): Promise<QueueView> {
  const created = await db
    .insertInto("queues")
    .values({ name: queue.name, ...columns(queue) })
    .onConflict((conflict) => conflict.doNothing())
    .returning("name")
    .executeTakeFirst();
  if (!created) {
    throw new AirlockError(`a queue named "${queue.name}" already exists`, {
      code: "queue-exists",
      hint: "Use that queue, change its settings, or choose another name.",
    });
  }
  return oneQueue(db, null, queue.name);
}

/**
 * Changes settings. Running attempts keep their current lease until their next heartbeat.
 * @throws {AirlockError} `not-found`.
 */
export async function updateQueue(
  db: Database,
  name: string,
  settings: z.output<typeof UpdateQueueRequest>,
): Promise<QueueView> {
  const changes = columns(settings);
  if (Object.keys(changes).length > 0) await db.updateTable("queues").set(changes).where("name", "=", name).execute();
  return oneQueue(db, null, name);
}

/**
 * Deletes a queue without jobs. Secrets that only its jobs could use stay, and count again for a queue of the same name.
 * @throws {AirlockError} `not-found`, `queue-in-use`.
 */
export async function deleteQueue(db: Database, name: string): Promise<void> {
  if (name === defaultQueueName) {
    throw new AirlockError(`the queue "${name}" can't be deleted: jobs that name no queue go there`, {
      code: "queue-in-use",
    });
  }
  // Nobody submits a job to the queue meanwhile: that needs a shared lock on this row.
  const locked = await db.selectFrom("queues").select("name").where("name", "=", name).forUpdate().executeTakeFirst();
  if (!locked) throw noSuchQueue(name);
  const { rows } = await sql<{ unfinished: number; finished: number; tokens: number }>`
    select count(*) filter (where state in ('queued', 'processing'))::int as unfinished,
      count(*) filter (where state not in ('queued', 'processing'))::int as finished,
      (select count(*)::int from executor_tokens where queue = ${name}) as tokens
    from jobs where queue = ${name}`.execute(db);
  const { unfinished = 0, finished = 0, tokens = 0 } = rows[0] ?? {};
  if (unfinished > 0) throw queueInUse(name, `jobs wait or run in it (${unfinished})`, "Cancel them, or wait.");
  if (tokens > 0) throw queueInUse(name, `executor tokens open it (${tokens})`, "Revoke them first.");
  if (finished > 0) {
    const hint = "The instance deletes finished jobs after AIRLOCK_JOB_RETENTION. The queue can be deleted then.";
    throw queueInUse(name, `the instance keeps finished jobs of it (${finished})`, hint);
  }
  await db.deleteFrom("queues").where("name", "=", name).execute();
}

function queueInUse(name: string, reason: string, hint: string): AirlockError {
  return new AirlockError(`the queue "${name}" can't be deleted: ${reason}`, { code: "queue-in-use", hint });
}

/** @throws {AirlockError} `not-found`. */
export async function oneQueue(db: Database, visible: VisibleNamespaces, name: string): Promise<QueueView> {
  const [queue] = await listQueues(db, visible, name);
  if (queue) return queue;
  throw noSuchQueue(name);
}

function noSuchQueue(name: string): AirlockError {
  return new AirlockError(`no queue named "${name}"`, {
    code: "not-found",
    hint: "List the queues to see their names.",
  });
}

type Settings = Partial<z.output<typeof CreateQueueRequest>> | z.output<typeof UpdateQueueRequest>;

/** Converts settings to columns. Leaves out settings that are not given. */
function columns(settings: Settings): Omit<Updateable<Schema["queues"]>, "name"> {
  const all = {
    max_attempts: settings.maxAttempts,
    max_losses: settings.maxLosses,
    backoff_ms: settings.backoffMs,
    backoff_max_ms: settings.backoffMaxMs,
    lease_ms: settings.leaseMs,
    heartbeat_interval_ms: settings.heartbeatIntervalMs,
    concurrency_limit: settings.concurrencyLimit,
    namespace_concurrency_limit: settings.namespaceConcurrencyLimit,
    weight: settings.weight,
    max_log_bytes: settings.maxLogBytes,
    allow_unenforced: settings.allowUnenforced,
    max_wait_ms: settings.maxWaitMs,
  };
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined));
}

export async function queueNames(db: Database): Promise<string[]> {
  const rows = await db.selectFrom("queues").select("name").execute();
  return rows.map((row) => row.name);
}
