import { formatDuration } from "@airlock/job";
import { sql } from "kysely";
import type { Database } from "../store/database.ts";
import { type TransitionedJob, transitionJob } from "./transition-job.ts";

/**
 * Fails jobs that waited for longer than their queue allows. At most 50 per call. Several instances may call it at
 * once: each job is returned to one of them.
 *
 * @param explain Says why no executor took the job. Empty: unknown.
 */
export async function expireWaits(db: Database, explain: (job: number) => Promise<string>): Promise<TransitionedJob[]> {
  const { rows } = await sql<{ id: number; max_wait_ms: number }>`
    select jobs.id, queues.max_wait_ms
    from queues join jobs on jobs.queue = queues.name
    where queues.max_wait_ms is not null and jobs.state = 'queued'
      and jobs.visible_at <= airlock_now() - queues.max_wait_ms * interval '1 millisecond'
    order by jobs.visible_at limit 50`.execute(db);
  const expired: TransitionedJob[] = [];
  for (const row of rows) {
    const why = await explain(row.id);
    const message = `no executor took it within ${formatDuration(row.max_wait_ms)}, its queue's maximum waiting time`;
    const failure = { reason: "queue-timeout" as const, message: why ? `${message}: ${why}` : message, exitCode: null };
    // transitionJob checks again under a lock: an executor or another instance may have been faster.
    const result = await transitionJob(db, row.id, { kind: "expire-wait" }, { failure });
    if (result.kind === "changed") expired.push(result.job);
  }
  return expired;
}
