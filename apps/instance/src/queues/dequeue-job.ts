import type { JobSpec } from "@airlock/api";
import { sql } from "kysely";
import type { Database } from "../store/database.ts";
import { executePrepared } from "../store/prepared-statements.ts";
import { createJobToken } from "./job-token.ts";

export interface DequeueOptions {
  /** In any order: which of those with work is taken from is drawn by their weights. */
  readonly queues: readonly string[];
  readonly executor: string;
  /** What the executor offers; a job goes only where each of its labels is offered with the same value. */
  readonly labels: Readonly<Record<string, string>>;
  /** Of one slot; a member left out takes any job. */
  readonly offer?: ResourceOffer;
}

/** What an executor has for one job; `null`: it does not say, or has no limit. */
export interface ResourceOffer {
  readonly cpuMillis: number | null;
  readonly memoryBytes: number | null;
  readonly diskBytes: number | null;
}

const anything: ResourceOffer = { cpuMillis: null, memoryBytes: null, diskBytes: null };

/** A job whose attempt just opened: the executor holds the lease from here on. */
export interface DequeuedJob {
  readonly id: number;
  readonly queue: string;
  readonly attempt: number;
  readonly spec: JobSpec;
  readonly repository: string | null;
  readonly commit: string | null;
  readonly leaseMs: number;
  readonly heartbeatIntervalMs: number;
  /** In clear, for this one answer. */
  readonly token: string;
  /** How long the job waited since it was queued, in ms. */
  readonly waitedMs: number;
  /** Whether a secret is there that holds credentials of registries, for this job or for others. */
  readonly registrySecrets: boolean;
}

/** The secret that becomes a job's registry credentials. */
export const registrySecretName = "DOCKER_AUTH_CONFIG";

/** Lost races for the same few jobs are tried again this often before the queue counts as empty for now. */
const maxTries = 5;

export type DequeueResult =
  | { readonly kind: "job"; readonly job: DequeuedJob }
  /** There is no job for this executor now. */
  | { readonly kind: "empty" }
  /** The executor was asked to drain. Another one may get a job. */
  | { readonly kind: "drained" };

/** Takes the next job, opens its attempt, sets the lease and makes the job token: one statement, one transaction. */
export async function tryDequeue(db: Database, options: DequeueOptions): Promise<DequeueResult> {
  for (const queue of await drawQueues(db, options)) {
    for (let tries = 0; tries < maxTries; tries++) {
      const { job, contended, drained } = await dequeueFrom(db, queue, options);
      if (job) return { kind: "job", job };
      if (drained) return { kind: "drained" };
      if (!contended) break;
    }
  }
  return { kind: "empty" };
}

export async function dequeueJob(db: Database, options: DequeueOptions): Promise<DequeuedJob | null> {
  const result = await tryDequeue(db, options);
  return result.kind === "job" ? result.job : null;
}

/**
 * Queues with work, in an order that is drawn anew each time: the chance to come first is a queue's share of the weights.
 * Each has some chance, so none starves.
 */
async function drawQueues(db: Database, options: DequeueOptions): Promise<readonly string[]> {
  if (options.queues.length <= 1) return options.queues;
  const { rows } = await sql<{ name: string }>`
    select name from queues
    where name = any(${[...options.queues]}::text[]) and exists (
      select from jobs where queue = queues.name and state = 'queued' and visible_at <= airlock_now()
    )
    order by -ln(1 - random()) / weight`.execute(db);
  return rows.map((row) => row.name);
}

interface DequeuedRow {
  id: number | null;
  queue: string;
  attempt: number;
  spec: JobSpec;
  repository: string | null;
  commit: string | null;
  lease_ms: number;
  heartbeat_interval_ms: number;
  waited_ms: number;
  limited: boolean;
  candidates: number;
  registry_secrets: boolean;
}

interface QueueAnswer {
  readonly job: DequeuedJob | null;
  /** There were jobs, and others took them in the same moment. */
  readonly contended: boolean;
  readonly drained: boolean;
}

async function dequeueFrom(db: Database, queue: string, options: DequeueOptions): Promise<QueueAnswer> {
  const { token, sha256 } = createJobToken();
  let row = await take(db, queue, options, { sha256, counted: false });
  if (row?.limited) {
    // Who counts running jobs must be alone with the queue until its own is among them.
    row = await db.transaction().execute(async (transaction) => {
      await sql`select pg_advisory_xact_lock(${lockClass}, hashtext(${queue}))`.execute(transaction);
      return take(transaction, queue, options, { sha256, counted: true });
    });
  }
  // The queue is there: the caller has looked for it.
  if (!row) return { job: null, contended: false, drained: true };
  if (row.id === null) return { job: null, contended: row.candidates > 0, drained: false };
  const job = {
    id: row.id,
    queue: row.queue,
    attempt: row.attempt,
    spec: row.spec,
    repository: row.repository,
    commit: row.commit,
    leaseMs: row.lease_ms,
    heartbeatIntervalMs: row.heartbeat_interval_ms,
    token,
    waitedMs: Math.max(0, row.waited_ms),
    registrySecrets: row.registry_secrets,
  };
  return { job, contended: false, drained: false };
}

/** Namespace of the advisory locks, apart from those that other parts take. */
const lockClass = 415_211;

/**
 * One row of the queue, with the job taken if there is one. Jobs that are alike in namespace and demands form a lane; the
 * statement steps from lane to lane over the index, leaves out those that this executor or a limit rules out, and takes
 * the first job of the others: highest priority, then turn, then id. Its cost grows with the number of lanes and not
 * with the number of jobs. Looks without locking, then locks the one it takes.
 */
async function take(
  db: Database,
  queue: string,
  options: DequeueOptions,
  { sha256, counted }: { readonly sha256: Buffer; readonly counted: boolean },
): Promise<DequeuedRow | undefined> {
  const offer = options.offer ?? anything;
  const { rows } = await executePrepared(
    "dequeue",
    sql<DequeuedRow>`
    with recursive
    -- The queue's own row, with its limits. No row: the executor is draining, and gets nothing.
    settings as (
      select *, concurrency_limit is not null or namespace_concurrency_limit is not null as limited
      from queues where name = ${queue} and not exists (
        -- Executors that do not know how to drain are drained from here.
        select from executors where executors.name = ${options.executor} and drain_requested)
    ),
    -- Every lane with queued jobs, one after the other: each round finds the next one in the index (a loose index scan).
    lanes as (
      (select lane, namespace, labels, cpu_millis, memory_bytes, disk_bytes from jobs
        where queue = ${queue} and state = 'queued' order by lane limit 1)
      union all
      select next.* from lanes cross join lateral (
        select lane, namespace, labels, cpu_millis, memory_bytes, disk_bytes from jobs
        where queue = ${queue} and state = 'queued' and lane > lanes.lane order by lane limit 1
      ) next
    ),
    -- The lanes that this executor can serve and no limit closes, with their first jobs. The best 16, because other
    -- executors may be about to take the first ones.
    open_lanes as (
      select lane, head.priority, head.turn, head.id from lanes, settings, lateral (
        select priority, turn, id from jobs
        where queue = ${queue} and state = 'queued' and lane = lanes.lane and visible_at <= airlock_now()
        order by priority desc, turn, id limit 1
      ) head
      where lanes.labels <@ ${JSON.stringify(options.labels)}::jsonb
        and coalesce(cpu_millis <= ${offer.cpuMillis}::bigint, true)
        and coalesce(memory_bytes <= ${offer.memoryBytes}::bigint, true)
        and coalesce(disk_bytes <= ${offer.diskBytes}::bigint, true)
        and (not settings.limited or ${counted})
        and (concurrency_limit is null or concurrency_limit > (
          select count(*) from jobs where queue = ${queue} and state = 'processing'))
        and (namespace_concurrency_limit is null or namespace_concurrency_limit > (
          select count(*) from jobs where queue = ${queue} and state = 'processing' and namespace = lanes.namespace))
      order by head.priority desc, head.turn, head.id
      limit 16
    ),
    -- The first jobs of these lanes, read without locks.
    candidates as (
      select first.id from open_lanes, lateral (
        select id from jobs
        where queue = ${queue} and state = 'queued' and lane = open_lanes.lane and visible_at <= airlock_now()
        order by priority desc, turn, id limit 16
      ) first
    ),
    -- The best candidate that no other executor holds: the only row that is locked.
    next as (
      select id from jobs
      -- An array is looked up by id; as a subquery it was joined with every waiting job.
      where id = any(array(select id from candidates)) and state = 'queued' and visible_at <= airlock_now()
      order by priority desc, turn, id
      limit 1
      for update skip locked
    ),
    -- Gives the job to the executor: the attempt counts up and the lease begins.
    taken as (
      update jobs set
        state = 'processing',
        attempt = jobs.attempt + 1,
        executor = ${options.executor},
        started_at = airlock_now(),
        lease_expires_at = airlock_now() + make_interval(secs => settings.lease_ms / 1000.0)
      from next, settings
      where jobs.id = next.id
      returning jobs.id, jobs.queue, jobs.attempt, jobs.spec, jobs.repository, jobs.commit, jobs.started_at,
        jobs.visible_at
    ),
    -- Writes the record of the attempt.
    opened as (
      insert into attempts (job, attempt, executor, started_at)
      select id, attempt, ${options.executor}, started_at from taken
    ),
    -- Writes the hash of the token by which the executor speaks for this attempt.
    token as (
      insert into job_tokens (token_sha256, job, attempt, queue, repository, executor)
      select ${sha256}::bytea, id, attempt, queue, repository, ${options.executor} from taken
    )
    select id, settings.name as queue, attempt, spec, repository, commit, settings.lease_ms,
      settings.heartbeat_interval_ms, settings.limited and not ${counted} as limited,
      (select count(*)::int from candidates) as candidates,
      (extract(epoch from started_at - visible_at) * 1000)::float8 as waited_ms,
      exists (select from secrets where name = ${registrySecretName}) as registry_secrets
    from settings left join taken on true`,
    db,
  );
  return rows[0];
}
