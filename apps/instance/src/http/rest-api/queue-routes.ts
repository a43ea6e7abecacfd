import { CreateQueueRequest, QueueList, QueueName, QueueView, UpdateQueueRequest } from "@airlock/api";
import { z } from "zod";
import { createQueue, deleteQueue, listQueues, oneQueue, updateQueue } from "../../queues/queue-settings.ts";
import { audited } from "../shared/audit-source.ts";
import type { InstanceContext } from "../shared/instance-context.ts";
import { accessOf } from "../shared/route-access.ts";
import { errorAnswers, type ZodScope } from "./zod-scope.ts";

const tags = ["queues"];

export function queueRoutes(app: ZodScope, context: InstanceContext): void {
  app.get(
    "/queues",
    { schema: { tags, summary: "List queues", response: { 200: QueueList, ...errorAnswers } } },
    async (request) => ({ queues: await listQueues(context.db, accessOf(request).namespaces()) }),
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
    async (request, reply) => {
      const queue = await audited(
        context.db,
        request,
        (transaction) => createQueue(transaction, request.body),
        ({ name }) => ({ action: "queue.created", target: { kind: "queue", name }, details: request.body }),
      );
      return reply.status(201).send(queue);
    },
  );

  app.get(
    "/queues/:name",
    {
      schema: {
        tags,
        summary: "Show a queue with its settings",
        params: z.strictObject({ name: QueueName }),
        response: { 200: QueueView, ...errorAnswers },
      },
    },
    async (request) => oneQueue(context.db, accessOf(request).namespaces(), request.params.name),
  );

  app.patch(
    "/queues/:name",
    {
      schema: {
        tags,
        summary: "Change a queue's settings",
        params: z.strictObject({ name: QueueName }),
        body: UpdateQueueRequest,
        response: { 200: QueueView, ...errorAnswers },
      },
    },
    async (request) => {
      const { name } = request.params;
      const queue = await audited(
        context.db,
        request,
        (transaction) => updateQueue(transaction, name, request.body),
        () => ({ action: "queue.changed", target: { kind: "queue", name }, details: request.body }),
      );
      request.log.info({ queue: name, settings: request.body }, "queue settings changed");
      // The change may have raised a limit, so waiting jobs may start.
      context.notifications.publish({ kind: "queued", queue: name });
      return queue;
    },
  );

  app.delete(
    "/queues/:name",
    {
      schema: {
        tags,
        summary: "Delete a queue that has no jobs and no executor tokens",
        params: z.strictObject({ name: QueueName }),
        response: { 204: z.null(), ...errorAnswers },
      },
    },
    async (request, reply) => {
      const { name } = request.params;
      await audited(
        context.db,
        request,
        (transaction) => deleteQueue(transaction, name),
        () => ({ action: "queue.deleted", target: { kind: "queue", name } }),
      );
      request.log.info({ queue: name }, "queue deleted");
      return reply.status(204).send(null);
    },
  );
}
