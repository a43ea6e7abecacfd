import { CreateQueueRequest, QueueList, QueueView } from "@airlock/api";
import type { InstanceContext } from "../../instance-context.ts";
import { createQueue, listQueues } from "../../queues/queue-settings.ts";
import { errorAnswers, type ZodScope } from "./zod-scope.ts";

const tags = ["queues"];

export function queueRoutes(app: ZodScope, context: InstanceContext): void {
  app.get(
    "/queues",
    { schema: { tags, summary: "List queues", response: { 200: QueueList, ...errorAnswers } } },
    async () => ({ queues: await listQueues(context.db) }),
  );

  app.post(
    "/queues",
    {
      schema: {
        tags,
        summary: "Create a queue",
        body: CreateQueueRequest,
        response: { 201: QueueView, ...errorAnswers },
      },
    },
    async (request, reply) => reply.status(201).send(await createQueue(context.db, request.body)),
  );
}
