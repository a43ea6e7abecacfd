import { sql } from "kysely";
import { activeWithinMs, isResumable } from "../executors/executor-registry.ts";
import type { Database } from "../store/database.ts";
import type { ExecutorFacts } from "./explain-job.ts";

export interface ConnectedExecutor extends ExecutorFacts {
  readonly queues: readonly string[];
}

/** Executors that serve any of these queues and sent a heartbeat recently. */
export async function connectedExecutors(db: Database, queues: readonly string[]): Promise<ConnectedExecutor[]> {
  if (queues.length === 0) return [];
  const { rows } = await sql<ConnectedExecutor>`
    select name, queues, labels, slots, draining or drain_requested as draining,
      ${isResumable} as resumable,
      airlock as extensions, capabilities, cpu_millis as "cpuMillis", memory_bytes as "memoryBytes", disk_bytes as "diskBytes",
      (select count(*)::int from jobs where jobs.executor = executors.name and jobs.state = 'processing') as running
    from executors
    where queues && ${[...queues]}::text[] and last_seen_at > airlock_now() - make_interval(secs => ${activeWithinMs / 1000})`.execute(
    db,
  );
  return rows;
}
