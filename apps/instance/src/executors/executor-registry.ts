import type { ExecutorView } from "@airlock/api";
import { sql } from "kysely";
import type { Database } from "../store/database.ts";

/** An executor is active if it was seen within three heartbeats of 5 s. */
export const activeWithinMs = 15_000;

/** SQL: without new jobs, the executor stays connected instead of exiting. */
const staysWithoutJobs = sql<boolean>`(not draining and (paused is not null or not airlock))`;
/** SQL: the executor is drained, and takes jobs again once the instance allows it. */
export const isResumable = sql<boolean>`(drain_requested and ${staysWithoutJobs})`;

/** What an executor reports in a heartbeat. */
export interface ExecutorReport {
  readonly name: string;
  readonly queues: readonly string[];
  readonly airlock: boolean;
  readonly version: string;
  readonly runtime: string;
  readonly runtimeVersion: string;
  readonly os: string;
  readonly architecture: string;
  readonly gitVersion: string;
  readonly dockerVersion: string;
  /** `null`: unknown. */
  readonly slots: number | null;
  readonly labels: Readonly<Record<string, string>>;
  /** Distinguishes a process from its predecessor of the same name; empty if the executor doesn't send it. */
  readonly process: string;
  readonly draining: boolean;
  /** Whether it stays without taking jobs; `null`: it exits after a drain. */
  readonly paused: boolean | null;
}

/** Limit for the executors that are remembered, so that a client with many made-up names can't fill the disk. */
const maxExecutors = 10_000;

/** Whether an executor is unknown while the registry has no room for another. */
export async function hasNoRoomFor(db: Database, name: string): Promise<boolean> {
  const { rows } = await sql<{ full: boolean }>`
    select case when exists (select from executors where name = ${name}) then false
      else (select count(*) from executors) >= ${maxExecutors} end as full`.execute(db);
  return rows[0]?.full ?? false;
}

/** Records a heartbeat. `changed`: the executor is new, was away, or reports something different. */
export async function recordExecutor(
  db: Database,
  report: ExecutorReport,
): Promise<{ readonly changed: boolean; readonly drainRequested: boolean }> {
  const labels = JSON.stringify(report.labels);
  const { rows } = await sql<{ changed: boolean; drain_requested: boolean }>`
    with before as (select * from executors where name = ${report.name}), written as (
      insert into executors (name, queues, airlock, version, runtime, runtime_version, os, architecture, git_version,
        docker_version, slots, labels, process, draining, paused, drain_requested)
      values (${report.name}, ${[...report.queues]}::text[], ${report.airlock}, ${report.version}, ${report.runtime},
        ${report.runtimeVersion}, ${report.os}, ${report.architecture}, ${report.gitVersion}, ${report.dockerVersion},
        ${report.slots}::integer, ${labels}::jsonb, ${report.process}, ${report.draining}, ${report.paused},
        ${report.draining})
      on conflict (name) do update set queues = excluded.queues, airlock = excluded.airlock, version = excluded.version,
        runtime = excluded.runtime, runtime_version = excluded.runtime_version, os = excluded.os,
        architecture = excluded.architecture, git_version = excluded.git_version,
        docker_version = excluded.docker_version, slots = excluded.slots, labels = excluded.labels,
        process = excluded.process, draining = excluded.draining, paused = excluded.paused,
        last_seen_at = airlock_now(),
        -- A request applies to one process. Without a process id, an executor that was away counts as restarted.
        -- An executor that says that it drains gets no further jobs, even if one of its polls still waits.
        drain_requested = excluded.draining or executors.drain_requested and executors.process = excluded.process
          and (excluded.process <> ''
            or executors.last_seen_at >= airlock_now() - make_interval(secs => ${activeWithinMs / 1000}))
      returning *
    )
    select before.name is null
      or before.last_seen_at < airlock_now() - make_interval(secs => ${activeWithinMs / 1000})
      or (before.queues, before.draining, before.paused, before.slots, before.labels, before.version, before.runtime)
        is distinct from (written.queues, written.draining, written.paused, written.slots, written.labels,
          written.version, written.runtime)
      as changed, written.drain_requested
    from written left join before on true`.execute(db);
  return { changed: rows[0]?.changed ?? true, drainRequested: rows[0]?.drain_requested ?? false };
}

interface ExecutorRow {
  name: string;
  queues: string[];
  active: boolean;
  draining: boolean;
  drain_requested: boolean;
  resumable: boolean;
  airlock: boolean;
  capabilities: string[];
  version: string;
  runtime: string;
  runtime_version: string;
  os: string;
  architecture: string;
  git_version: string;
  docker_version: string;
  slots: number | null;
  labels: Record<string, string>;
  first_seen_at: Date;
  last_seen_at: Date;
  running: number[];
}

/** Lists active executors first, then by name. With `names`, lists only these. */
export async function listExecutors(db: Database, names?: readonly string[]): Promise<ExecutorView[]> {
  const { rows } = await sql<ExecutorRow>`
    select executors.*, ${isResumable} as resumable, last_seen_at > airlock_now() - make_interval(secs => ${activeWithinMs / 1000}) as active,
      array(select id::float8 from jobs where jobs.executor = executors.name and state = 'processing' order by id) as running
    from executors
    where ${names ? [...names] : null}::text[] is null or name = any(${names ? [...names] : null}::text[])
    order by active desc, name
    limit 1000`.execute(db);
  return rows.map((row) => ({
    name: row.name,
    queues: row.queues,
    active: row.active,
    draining: row.draining || row.drain_requested,
    drainRequested: row.drain_requested,
    resumable: row.active && row.resumable,
    extensions: row.airlock,
    capabilities: row.capabilities,
    version: row.version,
    runtime: row.runtime,
    runtimeVersion: row.runtime_version,
    os: row.os,
    architecture: row.architecture,
    gitVersion: row.git_version,
    dockerVersion: row.docker_version,
    slots: row.slots,
    labels: row.labels,
    firstSeenAt: row.first_seen_at.toISOString(),
    lastSeenAt: row.last_seen_at.toISOString(),
    runningJobs: row.running,
  }));
}

/** Asks an executor to take no further jobs. Returns `false` if no active executor has that name. */
export async function requestDrain(db: Database, name: string): Promise<boolean> {
  const { rows } = await sql`
    update executors set drain_requested = true
    where name = ${name} and last_seen_at > airlock_now() - make_interval(secs => ${activeWithinMs / 1000})
    returning name`.execute(db);
  return rows.length > 0;
}

/** `leaving`: the executor drains by its own decision, or is one that exits after a drain. */
export type PauseResult = "paused" | "absent" | "leaving";

/** Like a drain, but only for an executor that stays connected, so that it can be resumed. */
export async function requestPause(db: Database, name: string): Promise<PauseResult> {
  const { rows } = await sql<{ leaving: boolean }>`
    with target as (
      select name, not ${staysWithoutJobs} as leaving from executors
      where name = ${name} and last_seen_at > airlock_now() - make_interval(secs => ${activeWithinMs / 1000})
      for update
    ), paused as (
      update executors set drain_requested = true from target where executors.name = target.name and not leaving
    )
    select leaving from target`.execute(db);
  const [executor] = rows;
  if (!executor) return "absent";
  return executor.leaving ? "leaving" : "paused";
}

/** `leaving`: as for {@link PauseResult}. */
export type ResumeResult = "resumed" | "absent" | "leaving";

/** Lets a drained executor take jobs again. Has no effect on an executor that takes jobs. */
export async function requestResume(db: Database, name: string): Promise<ResumeResult> {
  const { rows } = await sql<{ leaving: boolean }>`
    with target as (
      select name, drain_requested and not ${isResumable} as leaving from executors
      where name = ${name} and last_seen_at > airlock_now() - make_interval(secs => ${activeWithinMs / 1000})
      for update
    ), resumed as (
      update executors set drain_requested = false from target where executors.name = target.name and not leaving
    )
    select leaving from target`.execute(db);
  const [executor] = rows;
  if (!executor) return "absent";
  return executor.leaving ? "leaving" : "resumed";
}

/** Deletes executors that were not seen for a week. */
export async function forgetOldExecutors(db: Database): Promise<void> {
  await sql`delete from executors where last_seen_at < airlock_now() - interval '168 hours'`.execute(db);
}

export async function countActiveExecutors(db: Database): Promise<number> {
  const { rows } = await sql<{ count: number }>`
    select count(*)::int as count from executors
    where last_seen_at > airlock_now() - make_interval(secs => ${activeWithinMs / 1000})`.execute(db);
  return rows[0]?.count ?? 0;
}
