import { executorHeaders, QueueName } from "@airlock/api";
import type { FastifyInstance } from "fastify";
import type { InstanceContext } from "../shared/instance-context.ts";
import { KnownQueues } from "./known-queues.ts";

/** More names than any executor has. */
const maximumQueues = 100;

/** Whether the shared secret is right; to an executor that names its queues, which of them do not exist here, too. */
export function authTestRoute(app: FastifyInstance, context: InstanceContext): void {
  const knownQueues = new KnownQueues(context.db);

  app.get<{ Querystring: { queues?: unknown } }>("/test/auth", async (request, reply) => {
    const names = String(request.query.queues ?? "")
      .split(",", maximumQueues)
      .filter((name) => QueueName.safeParse(name).success);
    const unknown = await knownQueues.unknown(names);
    if (unknown.length > 0) void reply.header(executorHeaders.unknownQueues, unknown.join(","));
    return reply.type("text/plain").send("ok");
  });
}
