import type { FastifyRequest } from "fastify";
import { useExecutorToken } from "../../executors/executor-tokens.ts";
import type { Database } from "../../store/database.ts";
import { accessOf } from "../shared/route-access.ts";
import { ExecutorApiError } from "./authenticate-executor.ts";

/**
 * Refuses an executor token for other queues than its own, and for the names of their executors. Call it before anything
 * else that depends on the queues, so that the answer doesn't tell which exist.
 */
export async function requireQueues(
  db: Database,
  request: FastifyRequest,
  queues: readonly string[],
  executor: string,
): Promise<void> {
  const access = accessOf(request);
  const { actor } = access;
  if (actor.kind !== "queue-executor") return;
  access.require({ queue: actor.queue });
  for (const queue of queues) access.require({ queue });
  if (await useExecutorToken(db, actor, executor)) return;
  throw new ExecutorApiError(
    403,
    `the executor token can't use the name "${executor}": an executor of another queue has it, so give this one another EXECUTOR_DATA_DIR`,
  );
}

/** The queues that an executor may know; `null`: all. */
export function knownQueueOf(request: FastifyRequest): string | null {
  const { actor } = accessOf(request);
  return actor.kind === "queue-executor" ? actor.queue : null;
}
