import {
  CreatedExecutorToken,
  CreateExecutorTokenRequest,
  ExecutorTokenList,
  RevokedExecutorToken,
  RotateExecutorTokenRequest,
} from "@airlock/api";
import type { FastifyRequest } from "fastify";
import { z } from "zod";
import {
  createExecutorToken,
  listExecutorTokens,
  revokeExecutorToken,
  rotateExecutorToken,
} from "../../executors/executor-tokens.ts";
import { audited } from "../shared/audit-source.ts";
import type { InstanceContext } from "../shared/instance-context.ts";
import { accessOf } from "../shared/route-access.ts";
import { errorAnswers, type ZodScope } from "./zod-scope.ts";

const tags = ["executors"];
const params = z.strictObject({ id: z.coerce.number().int().positive().max(Number.MAX_SAFE_INTEGER) });
const bodyLimit = 16 * 1024;

export function executorTokenRoutes(app: ZodScope, { db }: InstanceContext): void {
  app.get(
    "/executor-tokens",
    {
      schema: {
        tags,
        summary: "List executor tokens, with the executors that use each",
        response: { 200: ExecutorTokenList, ...errorAnswers },
      },
    },
    async () => ({ tokens: await listExecutorTokens(db) }),
  );

  app.post(
    "/executor-tokens",
    {
      bodyLimit,
      schema: {
        tags,
        summary: "Create an executor token for one queue",
        description:
          "The token is shown once. Executors send it instead of the shared secret, and get jobs of its queue only.",
        body: CreateExecutorTokenRequest,
        response: { 201: CreatedExecutorToken, ...errorAnswers },
      },
    },
    async (request, reply) => {
      const token = await audited(
        db,
        request,
        (transaction) => createExecutorToken(transaction, { ...request.body, createdBy: callerOf(request) }),
        ({ id, name, queue }) => ({
          action: "executor-token.created",
          target: { kind: "executor-token", name: String(id) },
          details: { name, queue },
        }),
      );
      request.log.info({ token: token.id, queue: token.queue, by: token.createdBy }, "executor token created");
      return reply.status(201).send(token);
    },
  );

  app.post(
    "/executor-tokens/:id/rotate",
    {
      bodyLimit,
      schema: {
        tags,
        summary: "Replace an executor token",
        description: "The new token is shown once. The old one stays valid for `overlapMs`, by default for a day.",
        params,
        body: RotateExecutorTokenRequest,
        response: { 201: CreatedExecutorToken, ...errorAnswers },
      },
    },
    async (request, reply) => {
      const { id } = request.params;
      const { overlapMs } = request.body;
      const token = await audited(
        db,
        request,
        (transaction) => rotateExecutorToken(transaction, id, { overlapMs, createdBy: callerOf(request) }),
        ({ id: next, name, queue }) => ({
          action: "executor-token.rotated",
          target: { kind: "executor-token", name: String(id) },
          details: { name, queue, next, overlapMs },
        }),
      );
      request.log.info({ token: token.id, replaces: id, overlapMs, by: token.createdBy }, "executor token rotated");
      return reply.status(201).send(token);
    },
  );

  app.delete(
    "/executor-tokens/:id",
    {
      schema: {
        tags,
        summary: "Revoke an executor token",
        description:
          "Its executors get no further jobs and can't renew leases. They can still report on the jobs in the answer " +
          "until their leases end. Then these jobs are lost and retried.",
        params,
        response: { 200: RevokedExecutorToken, ...errorAnswers },
      },
    },
    async (request) => {
      const { id } = request.params;
      const runningJobs = await audited(
        db,
        request,
        (transaction) => revokeExecutorToken(transaction, id),
        () => ({ action: "executor-token.revoked", target: { kind: "executor-token", name: String(id) } }),
      );
      request.log.info({ token: id, runningJobs, by: callerOf(request) }, "executor token revoked");
      return { runningJobs };
    },
  );
}

function callerOf(request: FastifyRequest): string {
  const { actor } = accessOf(request);
  if (actor.kind !== "administrator") throw new Error(`${actor.kind} can't manage executor tokens`);
  return actor.user?.name ?? "administrator";
}
