import { executorHeaders, QueueName } from "@airlock/api";
import type { FastifyInstance } from "fastify";
import type { InstanceContext } from "../shared/instance-context.ts";
import { KnownQueues } from "./known-queues.ts";
import { knownQueueOf } from "./queue-scope.ts";

/** No executor serves more queues. */
const maximumQueues = 100;

/**
 * Tells whether the shared secret or the executor token is right. If the executor names its queues, also tells which of
 * them don't exist. For an executor token, the other queues don't.
 */
export function authTestRoute(app: FastifyInstance, context: InstanceContext): void {
  const knownQueues = new KnownQueues(context.db);

  app.get<{ Querystring: { queues?: unknown } }>("/test/auth", async (request, reply) => {
    const names = String(request.query.queues ?? "")
      .split(",", maximumQueues)
      .filter((name) => QueueName.safeParse(name).success);
    const ownQueue = knownQueueOf(request);
    const unknown =
      ownQueue === null ? await knownQueues.unknown(names) : names.filter((queueName) => queueName !== ownQueue);
    if (unknown.length > 0) void reply.header(executorHeaders.unknownQueues, unknown.join(","));
    return reply.type("text/plain").send("ok");
  });
}
