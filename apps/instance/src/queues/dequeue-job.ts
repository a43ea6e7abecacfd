import type { JobSpec } from "@airlock/api";
import { sql } from "kysely";
import type { Database } from "../store/database.ts";
import { createJobToken } from "./job-token.ts";

export interface DequeueOptions {
  /** In any order: the job with the highest priority, then the lowest id, of all of them is taken. */
  readonly queues: readonly string[];
  readonly executor: string;
  /** What the executor offers; a job goes only where each of its labels is offered with the same value. */
  readonly labels: Readonly<Record<string, string>>;
}

/** A job whose attempt just opened: the executor holds the lease from here on. */
export interface DequeuedJob {
  readonly id: number;
  readonly queue: string;
  readonly attempt: number;
  readonly spec: JobSpec;
  readonly repository: string | null;
  readonly commit: string | null;
  readonly leaseMs: number;
  /** In clear, for this one answer. */
  readonly token: string;
  /** How long the job waited since it was queued, in ms. */
  readonly waitedMs: number;
}

/** Takes the next job, opens its attempt, sets the lease and makes the job token: one statement, one transaction. */
export async function dequeueJob(db: Database, options: DequeueOptions): Promise<DequeuedJob | null> {
  for (const queue of await bestFirst(db, options)) {
    const job = await dequeueFrom(db, queue, options);
    if (job) return job;
  }
  return null;
}

/**
 * Queues with a job for this executor, the most urgent first. Looks without locking: a lock on the head of a queue that
 * is not chosen in the end would hide that job from everybody else for the moment.
 */
async function bestFirst(db: Database, options: DequeueOptions): Promise<readonly string[]> {
  if (options.queues.length <= 1) return options.queues;
  const { rows } = await sql<{ queue: string }>`
    select q.queue
    from unnest(${[...options.queues]}::text[]) as q (queue)
    cross join lateral (
      select id, priority from jobs
      where queue = q.queue and state = 'queued' and visible_at <= airlock_now()
        and labels <@ ${JSON.stringify(options.labels)}::jsonb
      order by priority desc, id limit 1
    ) head
    order by head.priority desc, head.id`.execute(db);
  return rows.map((row) => row.queue);
}

interface DequeuedRow {
  id: number;
  queue: string;
  attempt: number;
  spec: JobSpec;
  repository: string | null;
  commit: string | null;
  lease_ms: number;
  waited_ms: number;
}

async function dequeueFrom(db: Database, queue: string, options: DequeueOptions): Promise<DequeuedJob | null> {
  const { token, sha256 } = createJobToken();
  const { rows } = await sql<DequeuedRow>`
    with next as (
      select id from jobs
      where queue = ${queue} and state = 'queued' and visible_at <= airlock_now()
        and labels <@ ${JSON.stringify(options.labels)}::jsonb
      order by priority desc, id
      limit 1
      for update skip locked
    ), taken as (
      update jobs set
        state = 'processing',
        attempt = jobs.attempt + 1,
        executor = ${options.executor},
        started_at = airlock_now(),
        lease_expires_at = airlock_now() + make_interval(secs => queues.lease_ms / 1000.0)
      from next, queues
      where jobs.id = next.id and queues.name = ${queue}
      returning jobs.id, jobs.queue, jobs.attempt, jobs.spec, jobs.repository, jobs.commit, jobs.started_at,
        jobs.visible_at, queues.lease_ms
    ), opened as (
      insert into attempts (job, attempt, executor, started_at)
      select id, attempt, ${options.executor}, started_at from taken
    ), token as (
      insert into job_tokens (token_sha256, job, attempt, queue, repository, executor)
      select ${sha256}::bytea, id, attempt, queue, repository, ${options.executor} from taken
    )
    select id, queue, attempt, spec, repository, commit, lease_ms,
      (extract(epoch from started_at - visible_at) * 1000)::float8 as waited_ms
    from taken`.execute(db);
  const row = rows[0];
  if (!row) return null;
  return {
    id: row.id,
    queue: row.queue,
    attempt: row.attempt,
    spec: row.spec,
    repository: row.repository,
    commit: row.commit,
    leaseMs: row.lease_ms,
    token,
    waitedMs: Math.max(0, row.waited_ms),
  };
}
