import { sql } from "kysely";
import type { Database } from "../store/database.ts";
import { executePrepared } from "../store/prepared-statements.ts";

export interface LeaseClaim {
  readonly job: number;
  /** `null`: the executor speaks the base protocol, which has no attempts. */
  readonly attempt: number | null;
  /** `null`: any queue. */
  readonly queue: string | null;
}

export interface RenewedLease {
  readonly job: number;
  readonly queue: string;
  readonly cancelRequested: boolean;
}

/** Renews the lease of each claim that is a running attempt of this executor. The result omits all others. */
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
 * Renews the leases of running attempts after a time in which the instance couldn't receive heartbeats. A missed
 * heartbeat doesn't mean that the executor is gone. An executor that died meanwhile is detected one lease later.
 * @param unlessHeard Skip queues for which another instance may have received heartbeats. That is so if an executor was
 * seen within a third of the lease, at most 5 s.
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
