import type { CreateQueueRequest, QueueView } from "@airlock/api";
import { AirlockError } from "@airlock/job";
import { sql } from "kysely";
import type { z } from "zod";
import type { Database } from "../store/database.ts";

interface QueueRow {
  name: string;
  queued: number;
  processing: number;
  oldest_ms: number | null;
  max_attempts: number;
  lease_ms: number;
}

export async function listQueues(db: Database): Promise<QueueView[]> {
  const { rows } = await sql<QueueRow>`
    select queues.name, max_attempts, lease_ms,
      coalesce(waiting.jobs, 0)::int as queued, coalesce(running.jobs, 0)::int as processing,
      (extract(epoch from airlock_now() - waiting.oldest) * 1000)::float8 as oldest_ms
    from queues
    left join (select queue, count(*) as jobs, min(queued_at) as oldest from jobs where state = 'queued' group by queue)
      waiting on waiting.queue = queues.name
    left join (select queue, count(*) as jobs from jobs where state = 'processing' group by queue)
      running on running.queue = queues.name
    order by queues.name`.execute(db);
  return rows.map((row) => ({
    name: row.name,
    queued: row.queued,
    processing: row.processing,
    oldestQueuedMs: row.oldest_ms === null ? null : Math.max(0, Math.round(row.oldest_ms)),
    maxAttempts: row.max_attempts,
    leaseMs: row.lease_ms,
  }));
}

/** @throws {AirlockError} `queue-exists`. */
export async function createQueue(db: Database, queue: z.output<typeof CreateQueueRequest>): Promise<QueueView> {
  const created = await db
    .insertInto("queues")
    .values({ name: queue.name, max_attempts: queue.maxAttempts, lease_ms: queue.leaseMs })
    .onConflict((conflict) => conflict.doNothing())
    .returning("name")
    .executeTakeFirst();
  if (!created) {
    throw new AirlockError(`there is a queue "${queue.name}" already`, {
      code: "queue-exists",
      hint: "Use it, or choose another name.",
    });
  }
  return {
    name: queue.name,
    queued: 0,
    processing: 0,
    oldestQueuedMs: null,
    maxAttempts: queue.maxAttempts,
    leaseMs: queue.leaseMs,
  };
}

export async function queueNames(db: Database): Promise<string[]> {
  const rows = await db.selectFrom("queues").select("name").execute();
  return rows.map((row) => row.name);
}
