import {
  RotatedKeys,
  SecretAudit,
  SecretAuditQuery,
  SecretList,
  SecretName,
  SecretScopeQuery,
  SecretView,
  SetSecretRequest,
} from "@airlock/api";
import type { FastifyRequest } from "fastify";
import { z } from "zod";
import type { Actor } from "../../access/actor.ts";
import { recordAudit } from "../../audit/audit-log.ts";
import { rotateKeys } from "../../secrets/rotate-keys.ts";
import { readSecretAudit } from "../../secrets/secret-audit.ts";
import { deleteSecret, listSecrets, type SecretActor, setSecret } from "../../secrets/secret-store.ts";
import { audited, auditSource } from "../shared/audit-source.ts";
import type { InstanceContext } from "../shared/instance-context.ts";
import { accessOf } from "../shared/route-access.ts";
import { errorAnswers, unknownNamespace, type ZodScope } from "./zod-scope.ts";

const tags = ["secrets"];
const params = z.strictObject({ name: SecretName });
/** A value of 64 KiB may be six times as long in JSON. */
const bodyLimit = 512 * 1024;

export function secretRoutes(app: ZodScope, context: InstanceContext): void {
  const { db } = context;

  app.get(
    "/secrets",
    { schema: { tags, summary: "List secrets, without their values", response: { 200: SecretList, ...errorAnswers } } },
    async (request) => ({ secrets: await listSecrets(db, accessOf(request).namespaces()) }),
  );

  app.put(
    "/secrets/:name",
    {
      bodyLimit,
      schema: {
        tags,
        summary: "Create a secret or replace its value",
        description:
          "The value cannot be read again. Secrets of the same name in another namespace or queue are different secrets. " +
          "Without a namespace, it is for your own namespace, or for all jobs if you are an administrator.",
        params,
        body: SetSecretRequest,
        response: { 200: SecretView, 201: SecretView, ...errorAnswers },
      },
    },
    async (request, reply) => {
      const { name } = request.params;
      const { namespace = defaultNamespace(accessOf(request).actor) } = request.body;
      accessOf(request).require({ namespace }, unknownNamespace(namespace));
      if (namespace !== null) await context.namespaces.ensure(namespace, auditSource(request));
      const { secret, created } = await audited(
        db,
        request,
        (transaction) =>
          setSecret(
            { db: transaction, sealer: context.sealer },
            name,
            { ...request.body, namespace },
            actorOf(request),
          ),
        (result) => ({
          action: result.created ? "secret.created" : "secret.changed",
          namespace,
          target: { kind: "secret", name },
          details: { queue: result.secret.queue },
        }),
      );
      request.log.info({ secret: name, namespace: secret.namespace, queue: secret.queue, created }, "secret set");
      return reply.status(created ? 201 : 200).send(secret);
    },
  );

  app.delete(
    "/secrets/:name",
    {
      schema: {
        tags,
        summary: "Delete a secret",
        description:
          "Waiting jobs that use it will fail. Without a namespace, deletes the secret of your own namespace, or the " +
          "one for all jobs if you are an administrator.",
        params,
        querystring: SecretScopeQuery,
        response: { 204: z.null(), ...errorAnswers },
      },
    },
    async (request, reply) => {
      const { name } = request.params;
      const { namespace = defaultNamespace(accessOf(request).actor) ?? "", queue = "" } = request.query;
      accessOf(request).require({ namespace: namespace || null }, unknownNamespace(namespace));
      await audited(
        db,
        request,
        (transaction) => deleteSecret(transaction, name, { namespace, queue }, actorOf(request)),
        () => ({
          action: "secret.deleted",
          namespace,
          target: { kind: "secret", name },
          details: { queue: queue || null },
        }),
      );
      request.log.info({ secret: name, namespace, queue }, "secret deleted");
      return reply.status(204).send(null);
    },
  );

  app.get(
    "/secrets/audit",
    {
      schema: {
        tags,
        summary: "List who created, changed, deleted and used secrets, newest first",
        querystring: SecretAuditQuery,
        response: { 200: SecretAudit, ...errorAnswers },
      },
    },
    async (request) => readSecretAudit(db, request.query, accessOf(request).namespaces()),
  );

  app.post(
    "/secrets/rotate",
    {
      schema: {
        tags,
        summary: "Encrypt all secrets with the newest key",
        description: "Each instance does this when it starts. Afterwards the older keys are no longer needed.",
        response: { 200: RotatedKeys, ...errorAnswers },
      },
    },
    async (request) => {
      const result = await rotateKeys(context);
      await recordAudit(db, auditSource(request), [{ action: "secret.keys-rotated", details: { ...result } }]);
      request.log.info(result, "secrets rotated");
      return result;
    },
  );
}

/** Only administrators can set secrets for all jobs, which is their default. */
function defaultNamespace(actor: Actor): string | null {
  return actor.kind === "user" ? actor.user.name : null;
}

function actorOf(request: FastifyRequest): SecretActor {
  const { actor } = accessOf(request);
  if (actor.kind === "user") return { actor: actor.user.name, via: actor.via };
  if (actor.kind !== "administrator") throw new Error(`${actor.kind} can't change secrets`);
  return { actor: actor.user?.name ?? "administrator", via: actor.via };
}
