import { createHash } from "node:crypto";
import type { JobSpec } from "@airlock/api";
import { AirlockError, parseBytes } from "@airlock/job";
import { sql } from "kysely";
import { type AuditEvent, type AuditSource, auditColumns, auditRow, auditTypes } from "../audit/audit-log.ts";
import type { Database } from "../store/database.ts";
import { executePrepared } from "../store/prepared-statements.ts";
import { jobNeeds } from "./job-needs.ts";

export interface NewJob {
  readonly spec: JobSpec;
  readonly repository: string | null;
  /** Full SHA; `null` without a repository. */
  readonly commit: string | null;
  /** Messages for the submitter, one sentence each. Stored with the job. */
  readonly warnings?: readonly string[];
  /** The same key with the same spec identifies the same job. */
  readonly idempotencyKey: string | null;
  /** Who submits the job, for the audit log; absent: nobody is recorded. */
  readonly by?: AuditSource;
}

/** `created` is false if a job with this key already existed. */
export interface EnqueuedJob {
  readonly id: number;
  readonly created: boolean;
}

/** @throws {AirlockError} `unknown-queue`, `unknown-repository`, `idempotency-conflict`. */
export async function enqueueJob(db: Database, job: NewJob): Promise<EnqueuedJob> {
  const { spec } = job;
  const text = JSON.stringify(spec);
  const digest = job.idempotencyKey === null ? null : createHash("sha256").update(text).digest();
  const entry = job.by ? auditRow(job.by, submission(job)) : null;
  const { cpus, memory, disk } = spec.resources;
  const cpuMillis = cpus === undefined ? null : Math.ceil(cpus * 1000);
  // A job's turn is one after the last of its namespace, and never before the round that is being handed out. A late
  // namespace therefore doesn't wait behind everything that others queued, and gets no credit for the past. Two jobs
  // that arrive at once may share a turn, which shifts others by one place at most.
  const { rows } = await executePrepared(
    "enqueue",
    sql<{ id: number }>`
    with present as (
      -- Makes a deletion of the repository wait until this job is stored, so that the deletion finds it.
      select name from repositories where name = ${job.repository}::text for key share
    ), created as (
      insert into jobs (queue, priority, spec, labels, namespace, cpu_millis, memory_bytes, disk_bytes, needs, turn,
        repository, revision, commit, warnings, idempotency_key, idempotency_sha256)
      select name, ${spec.priority}::integer, ${text}::jsonb, ${JSON.stringify(spec.labels)}::jsonb, ${spec.namespace}::text,
        ${cpuMillis}::bigint, ${toBytes(memory)}::bigint, ${toBytes(disk)}::bigint,
        ${JSON.stringify(jobNeeds(spec, job.commit))}::jsonb,
        greatest(
          (select max(turn) + 1 from jobs where state = 'queued' and queue = ${spec.queue}
            and namespace = ${spec.namespace} and priority = ${spec.priority}::integer),
          (select min(turn) from jobs where state = 'queued' and queue = ${spec.queue}
            and priority = ${spec.priority}::integer),
          -- The oldest queued turn may belong to a job that no executor can take. Running jobs show the current round.
          (select min(turn) from jobs where state = 'processing' and queue = ${spec.queue}
            and priority = ${spec.priority}::integer),
          0),
        ${job.repository}::text, ${spec.revision}::text, ${job.commit}::text, ${job.warnings ?? []}::text[],
        ${job.idempotencyKey}::text, ${digest}::bytea
      from queues where name = ${spec.queue}
        and (${job.repository}::text is null or exists (select from present))
      on conflict (idempotency_key) where idempotency_key is not null do nothing
      returning id
    ), recorded as (
      -- In the same statement, which is as good as a transaction and takes one round trip.
      insert into audit_log (${auditColumns})
      select action, actor, via, credential, address, namespace, target_kind, target, created.id, details
      from created, jsonb_to_record(${entry && JSON.stringify(entry)}::jsonb) as entry (${auditTypes})
      where entry.action is not null
    )
    select id from created`,
    db,
  );
  const id = rows[0]?.id;
  if (id !== undefined) return { id, created: true };
  if (job.idempotencyKey !== null && digest !== null) {
    const existing = await findByKey(db, job.idempotencyKey, digest);
    if (existing !== null) return { id: existing, created: false };
  }
  const queue = await db.selectFrom("queues").select("name").where("name", "=", spec.queue).executeTakeFirst();
  if (!queue || job.repository === null) throw unknownQueue(spec.queue);
  throw new AirlockError(`the repository "${job.repository}" was deleted while the job was submitted`, {
    code: "unknown-repository",
    hint: "Add it again, then submit the job again.",
  });
}

function submission({ spec, repository }: NewJob): AuditEvent {
  return { action: "job.submitted", namespace: spec.namespace, details: { queue: spec.queue, repository } };
}

function toBytes(size: number | string | undefined): number | null {
  return typeof size === "string" ? (parseBytes(size) ?? null) : (size ?? null);
}

export function unknownQueue(name: string): AirlockError {
  return new AirlockError(`no queue named "${name}"`, {
    code: "unknown-queue",
    hint: "List the queues with GET /api/v1/queues, or create it with POST /api/v1/queues.",
  });
}

/**
 * Finds the job that was submitted with this key.
 * @throws {AirlockError} `idempotency-conflict` when that job had a different specification.
 */
export async function findJobByKey(db: Database, key: string, spec: JobSpec): Promise<number | null> {
  return findByKey(db, key, createHash("sha256").update(JSON.stringify(spec)).digest());
}

async function findByKey(db: Database, key: string, digest: Buffer): Promise<number | null> {
  const row = await db
    .selectFrom("jobs")
    .select(["id", "idempotency_sha256"])
    .where("idempotency_key", "=", key)
    .executeTakeFirst();
  if (!row) return null;
  if (!row.idempotency_sha256?.equals(digest)) {
    throw new AirlockError("this Idempotency-Key was already used for another job", {
      code: "idempotency-conflict",
      hint: "Use a new key for a new job.",
    });
  }
  return row.id;
}
