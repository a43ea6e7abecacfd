import type { JobSpec } from "@airlock/api";
import { sql } from "kysely";
import type { Database } from "../store/database.ts";
import { executePrepared } from "../store/prepared-statements.ts";
import { type JobNeed, waivableNeeds } from "./job-needs.ts";
import { createJobToken } from "./job-token.ts";

export interface DequeueOptions {
  /** In any order. One of those with jobs is drawn at random, by weight. */
  readonly queues: readonly string[];
  readonly executor: string;
  /** Labels that the executor offers. It gets only jobs whose labels it all offers with the same values. */
  readonly labels: Readonly<Record<string, string>>;
  /** Resources of one slot. Without it, any job fits. */
  readonly offer?: ResourceOffer;
  /** The executor gets only jobs with these needs. Without it, any job fits. */
  readonly supports?: readonly JobNeed[];
}

/** Resources of an executor for one job; `null`: unknown or unlimited. */
export interface ResourceOffer {
  readonly cpuMillis: number | null;
  readonly memoryBytes: number | null;
  readonly diskBytes: number | null;
}

const anything: ResourceOffer = { cpuMillis: null, memoryBytes: null, diskBytes: null };

/** A job whose attempt was just opened. From now on, the executor holds its lease. */
export interface DequeuedJob {
  readonly id: number;
  readonly queue: string;
  readonly attempt: number;
  readonly spec: JobSpec;
  readonly repository: string | null;
  readonly commit: string | null;
  readonly leaseMs: number;
  readonly heartbeatIntervalMs: number;
  /** The unencrypted job token, for this one response. */
  readonly token: string;
  /** Time since the job could first be handed out, in ms. Excludes a back-off. */
  readonly waitedMs: number;
  /** Whether any secret with registry credentials exists, for this job or for others. */
  readonly registrySecrets: boolean;
}

/** Name of the secret that holds a job's registry credentials. */
export const registrySecretName = "DOCKER_AUTH_CONFIG";

/** Number of attempts after other dequeues took the same few jobs. Then the queue counts as empty for now. */
const maxTries = 5;

export type DequeueResult =
  | { readonly kind: "job"; readonly job: DequeuedJob }
  /** There is currently no job for this executor. */
  | { readonly kind: "empty" }
  /** The executor was asked to drain. Other executors may still get a job. */
  | { readonly kind: "drained" };

/** Takes the next job, opens its attempt, sets the lease and creates the job token in one statement. */
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
 * Queues with jobs, in a random order. A queue's chance to be first is its share of the weights, so that none starves.
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
  /** There were jobs, but concurrent dequeues took them. */
  readonly contended: boolean;
  readonly drained: boolean;
}

async function dequeueFrom(db: Database, queue: string, options: DequeueOptions): Promise<QueueAnswer> {
  const { token, sha256 } = createJobToken();
  let row = await take(db, queue, options, { sha256, counted: false });
  if (row?.limited) {
    // A dequeue that counts running jobs needs exclusive access to the queue until its own job is counted.
    row = await db.transaction().execute(async (transaction) => {
      await sql`select pg_advisory_xact_lock(${lockClass}, hashtext(${queue}))`.execute(transaction);
      return take(transaction, queue, options, { sha256, counted: true });
    });
  }
  // The caller has checked that the queue exists, so a missing row means that the executor is drained.
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

/** Class of the advisory locks, distinct from those of other parts. */
const lockClass = 415_211;

/**
 * Returns one row of the queue, with the job that was taken, if any. Jobs with equal namespace, demands and needs form a
 * lane.
 * The statement steps from lane to lane over the index, and leaves out those that this executor or a limit rules out.
 * It takes the first job of the others: highest priority, then turn, then id. The cost grows with the number of lanes,
 * not with the number of jobs. Reads without locks, then locks the job that it takes.
 */
async function take(
  db: Database,
  queue: string,
  options: DequeueOptions,
  { sha256, counted }: { readonly sha256: Buffer; readonly counted: boolean },
): Promise<DequeuedRow | undefined> {
  const offer = options.offer ?? anything;
  const supported = options.supports ?? null;
  // If the queue allows it, the executor also gets jobs although it does not support some of their features.
  const tolerated = supported && [...new Set([...supported, ...waivableNeeds])];
  const { rows } = await executePrepared(
    "dequeue",
    sql<DequeuedRow>`
    with recursive
    -- The queue's own row, with its limits. No row: the executor is draining, and gets nothing.
    settings as (
      select *, concurrency_limit is not null or namespace_concurrency_limit is not null as limited
      from queues where name = ${queue} and not exists (
        -- Executors that can't drain themselves are drained here: they get no jobs.
        select from executors where executors.name = ${options.executor} and drain_requested)
    ),
    -- Every lane with queued jobs, one after the other: each round finds the next one in the index (a loose index scan).
    lanes as (
      (select lane, namespace, labels, cpu_millis, memory_bytes, disk_bytes, needs from jobs
        where queue = ${queue} and state = 'queued' order by lane limit 1)
      union all
      select next.* from lanes cross join lateral (
        select lane, namespace, labels, cpu_millis, memory_bytes, disk_bytes, needs from jobs
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
        and coalesce(needs <@ case when settings.allow_unenforced then ${jsonOf(tolerated)}::jsonb
          else ${jsonOf(supported)}::jsonb end, true)
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
      -- An array makes PostgreSQL look jobs up by id. It joined a subquery with every waiting job.
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

function jsonOf(needs: readonly JobNeed[] | null): string | null {
  return needs && JSON.stringify(needs);
}
