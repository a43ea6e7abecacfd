import { sql } from "kysely";
import type { Database } from "../store/database.ts";
import { executePrepared } from "../store/prepared-statements.ts";

export interface LeaseClaim {
  readonly job: number;
  /** `null`: the executor does not know attempts (it speaks the base protocol). */
  readonly attempt: number | null;
  /** `null`: whichever queue the job is in. */
  readonly queue: string | null;
}

export interface RenewedLease {
  readonly job: number;
  readonly queue: string;
  readonly cancelRequested: boolean;
}

/** Renews the lease of each claim that is the running attempt of this executor; the others are not in the answer. */
export async function renewLeases(
  db: Database,
  executor: string,
  claims: readonly LeaseClaim[],
): Promise<RenewedLease[]> {
  if (claims.length === 0) return [];
  const { rows } = await executePrepared(
    "renew",
    sql<{ id: number; queue: string; cancel_requested: boolean }>`
    update jobs set lease_expires_at = airlock_now() + make_interval(secs => queues.lease_ms / 1000.0)
    from unnest(
      ${claims.map((claim) => claim.job)}::bigint[],
      ${claims.map((claim) => claim.attempt)}::integer[],
      ${claims.map((claim) => claim.queue)}::text[]
    ) as claim (job, attempt, queue), queues
    where jobs.id = claim.job and jobs.state = 'processing' and jobs.executor = ${executor}
      and (claim.attempt is null or claim.attempt = jobs.attempt)
      and (claim.queue is null or claim.queue = jobs.queue)
      and queues.name = jobs.queue
    returning jobs.id, jobs.queue, jobs.cancel_requested`,
    db,
  );
  return rows.map((row) => ({ job: row.id, queue: row.queue, cancelRequested: row.cancel_requested }));
}

/**
 * Gives running attempts their whole lease again, for a time in which nobody heard heartbeats: an executor that was not
 * heard is not silent. One that died meanwhile is found a lease later. `unlessHeard`: not those of queues whose
 * heartbeats may have come: some executor was heard, by another instance, within a third of the lease.
 */
export async function renewAllLeases(db: Database, { unlessHeard }: { readonly unlessHeard: boolean }): Promise<void> {
  await sql`
    update jobs set lease_expires_at = airlock_now() + make_interval(secs => queues.lease_ms / 1000.0)
    from queues
    where queues.name = jobs.queue and jobs.state = 'processing'
      and not (${unlessHeard} and exists (
        select from executors
        where last_seen_at > airlock_now() - make_interval(secs => least(queues.lease_ms / 3000.0, 5))))`.execute(db);
}
