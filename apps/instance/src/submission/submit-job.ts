import type { JobSpec } from "@airlock/api";
import type { AuditSource } from "../audit/audit-log.ts";
import { type EnqueuedJob, enqueueJob, findJobByKey, unknownQueue } from "../queues/enqueue-job.ts";
import type { RepositoryService } from "../repositories/repository-service.ts";
import type { Database } from "../store/database.ts";
import type { Notifications } from "../store/notifications.ts";
import { checkSecrets } from "./check-secrets.ts";

export interface SubmitContext {
  readonly db: Database;
  readonly notifications: Notifications;
  readonly repositories: RepositoryService;
}

/**
 * Checks a job against the instance's queues and secrets, pins its revision and enqueues it.
 * @throws {AirlockError} `unknown-queue`, `unknown-secret`, `environment-too-long`, `unknown-repository`,
 * `unknown-revision`, `repository-unavailable`, `idempotency-conflict`.
 */
export async function submitJob(
  context: SubmitContext,
  submitted: JobSpec,
  idempotencyKey: string | null,
  by: AuditSource,
): Promise<EnqueuedJob> {
  const { db, notifications, repositories } = context;
  // The specification is stored, so remove a password from its URL first.
  const spec =
    submitted.repository === undefined
      ? submitted
      : { ...submitted, repository: repositories.withoutCredentials(submitted.repository) };
  if (idempotencyKey !== null) {
    // Check this first: the job exists, so checks that would fail by now must not matter.
    const existing = await findJobByKey(db, idempotencyKey, spec);
    if (existing !== null) return { id: existing, created: false };
  }
  await checkSecrets(db, spec);
  // Run the fast check before git, which takes time.
  await requireQueue(db, spec.queue);
  const resolved = spec.repository === undefined ? null : await repositories.resolve(spec.repository, spec.revision);
  const job = await enqueueJob(db, {
    spec,
    repository: resolved?.repository ?? null,
    commit: resolved?.commit ?? null,
    warnings: resolved?.warnings ?? withoutRepository(spec),
    idempotencyKey,
    by,
  });
  if (job.created) notifications.publish({ kind: "queued", queue: spec.queue }, { kind: "job", job: job.id });
  return job;
}

function withoutRepository(spec: JobSpec): string[] {
  return spec.checkout === undefined ? [] : ["checkout has no effect: the job has no repository"];
}

async function requireQueue(db: Database, name: string): Promise<void> {
  const queue = await db.selectFrom("queues").select("name").where("name", "=", name).executeTakeFirst();
  if (!queue) throw unknownQueue(name);
}
