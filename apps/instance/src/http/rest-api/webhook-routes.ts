import {
  CreatedWebhook,
  CreateWebhookRequest,
  ListDeliveriesQuery,
  ListWebhooksQuery,
  UpdateWebhookRequest,
  WebhookDeliveryList,
  WebhookList,
  WebhookView,
} from "@airlock/api";
import { AirlockError } from "@airlock/job";
import type { FastifyRequest } from "fastify";
import { z } from "zod";
import { checkWebhookUrl } from "../../webhooks/allowed-addresses.ts";
import {
  createWebhook,
  deleteWebhook,
  listDeliveries,
  listWebhooks,
  namespaceOfWebhook,
  repeatDelivery,
  updateWebhook,
} from "../../webhooks/webhook-rows.ts";
import { InvalidRequestError } from "../shared/api-error.ts";
import { audited } from "../shared/audit-source.ts";
import type { InstanceContext } from "../shared/instance-context.ts";
import { accessOf } from "../shared/route-access.ts";
import { errorAnswers, notFound, unknownNamespace, type ZodScope } from "./zod-scope.ts";

const tags = ["webhooks"];
const Id = z.coerce.number().int().positive().max(Number.MAX_SAFE_INTEGER);
const params = z.strictObject({ id: Id });
const bodyLimit = 16 * 1024;

export function webhookRoutes(app: ZodScope, context: InstanceContext): void {
  const { db, sealer, config } = context;

  /** Refuses the request unless the caller may do this to the webhook. Returns its namespace. */
  async function requireWebhook(request: FastifyRequest, id: number): Promise<string> {
    const missing = notFound(`webhook ${id}`);
    const namespace = await namespaceOfWebhook(db, id);
    if (namespace === null) throw missing;
    accessOf(request).require({ namespace }, missing);
    return namespace;
  }

  app.get(
    "/webhooks",
    {
      schema: {
        tags,
        summary: "List webhooks",
        querystring: ListWebhooksQuery,
        response: { 200: WebhookList, ...errorAnswers },
      },
    },
    async (request) => listWebhooks(db, accessOf(request).namespaces(), request.query),
  );

  app.post(
    "/webhooks",
    {
      bodyLimit,
      schema: {
        tags,
        summary: "Create a webhook: messages about jobs of a namespace",
        description:
          "The secret is shown once. Messages are signed as Standard Webhooks says, and are tried again for three days " +
          "until the receiver answers with a status from 200 to 299.",
        body: CreateWebhookRequest,
        response: { 201: CreatedWebhook, ...errorAnswers },
      },
    },
    async (request, reply) => {
      const { actor } = accessOf(request);
      const { name, url, events, namespace = actor.kind === "user" ? actor.user.name : undefined } = request.body;
      if (namespace === undefined) throw new InvalidRequestError(["namespace: name the namespace of the jobs"]);
      accessOf(request).require({ namespace }, unknownNamespace(namespace));
      checkWebhookUrl(new URL(url), config.webhookHosts);
      const known = await db
        .selectFrom("namespaces")
        .select("name")
        .where("name", "=", namespace)
        .where("deleted_at", "is", null)
        .executeTakeFirst();
      if (!known) throw unknownNamespace(namespace);
      const created = await audited(
        db,
        request,
        (transaction) => createWebhook({ db: transaction, sealer }, { namespace, name, url, events }),
        ({ id }) => ({
          action: "webhook.created",
          namespace,
          target: { kind: "webhook", name: String(id) },
          details: { name, host: new URL(url).host, events },
        }),
      );
      return reply.status(201).send(created);
    },
  );

  app.patch(
    "/webhooks/:id",
    {
      bodyLimit,
      schema: {
        tags,
        summary: "Change a webhook",
        params,
        body: UpdateWebhookRequest,
        response: { 200: WebhookView, ...errorAnswers },
      },
    },
    async (request) => {
      const { id } = request.params;
      const namespace = await requireWebhook(request, id);
      const { url, ...others } = request.body;
      if (url !== undefined) checkWebhookUrl(new URL(url), config.webhookHosts);
      const changed = await audited(
        db,
        request,
        (transaction) => updateWebhook(transaction, id, request.body),
        (webhook) =>
          webhook && {
            action: "webhook.changed",
            namespace,
            target: { kind: "webhook", name: String(id) },
            details: { ...others, ...(url === undefined ? {} : { host: new URL(url).host }) },
          },
      );
      if (!changed) throw notFound(`webhook ${id}`);
      return changed;
    },
  );

  app.delete(
    "/webhooks/:id",
    {
      schema: {
        tags,
        summary: "Delete a webhook with its deliveries",
        params,
        response: { 204: z.null(), ...errorAnswers },
      },
    },
    async (request, reply) => {
      const { id } = request.params;
      const namespace = await requireWebhook(request, id);
      await audited(
        db,
        request,
        (transaction) => deleteWebhook(transaction, id),
        (done) =>
          done ? { action: "webhook.deleted", namespace, target: { kind: "webhook", name: String(id) } } : null,
      );
      return reply.status(204).send(null);
    },
  );

  app.get(
    "/webhooks/:id/deliveries",
    {
      schema: {
        tags,
        summary: "List a webhook's deliveries of the last month, newest first",
        params,
        querystring: ListDeliveriesQuery,
        response: { 200: WebhookDeliveryList, ...errorAnswers },
      },
    },
    async (request) => {
      await requireWebhook(request, request.params.id);
      return listDeliveries(db, request.params.id, request.query);
    },
  );

  app.post(
    "/webhooks/:id/deliveries/:delivery/repeat",
    {
      schema: {
        tags,
        summary: "Send a delivery again, now",
        params: z.strictObject({ id: Id, delivery: Id }),
        response: { 204: z.null(), ...errorAnswers },
      },
    },
    async (request, reply) => {
      const { id, delivery } = request.params;
      const namespace = await requireWebhook(request, id);
      const found = await audited(
        db,
        request,
        (transaction) => repeatDelivery(transaction, id, delivery),
        (done) =>
          done
            ? {
                action: "webhook.delivery-repeated",
                namespace,
                target: { kind: "webhook", name: String(id) },
                details: { delivery },
              }
            : null,
      );
      if (!found) throw new AirlockError(`delivery ${delivery} of webhook ${id} not found`, { code: "not-found" });
      return reply.status(204).send(null);
    },
  );
}
