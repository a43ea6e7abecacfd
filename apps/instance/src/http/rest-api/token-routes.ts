import { AccessTokenList, CreateAccessTokenRequest, CreatedAccessToken } from "@airlock/api";
import { z } from "zod";
import { createAccessToken, deleteAccessToken, listAccessTokens } from "../../accounts/access-tokens.ts";
import { InvalidRequestError } from "../shared/api-error.ts";
import { audited } from "../shared/audit-source.ts";
import type { InstanceContext } from "../shared/instance-context.ts";
import { ownAccount } from "./own-account.ts";
import { errorAnswers, notFound, type ZodScope } from "./zod-scope.ts";

const tags = ["account"];

export function tokenRoutes(app: ZodScope, { db }: InstanceContext): void {
  app.get(
    "/account/tokens",
    { schema: { tags, summary: "List your access tokens", response: { 200: AccessTokenList, ...errorAnswers } } },
    async (request) => ({ tokens: await listAccessTokens(db, ownAccount(request).id) }),
  );

  app.post(
    "/account/tokens",
    {
      bodyLimit: 16 * 1024,
      schema: {
        tags,
        summary: "Create an access token",
        description: "The token is shown once. It permits what its scopes name, and never more than you may do.",
        body: CreateAccessTokenRequest,
        response: { 201: CreatedAccessToken, ...errorAnswers },
      },
    },
    async (request, reply) => {
      const user = ownAccount(request);
      const { expiresAt } = request.body;
      if (expiresAt !== null && new Date(expiresAt).getTime() <= Date.now()) {
        throw new InvalidRequestError(["expiresAt: must be in the future"]);
      }
      const token = await audited(
        db,
        request,
        (transaction) => createAccessToken(transaction, user.id, request.body),
        ({ id, name, scopes }) => ({
          action: "access-token.created",
          namespace: user.name,
          target: { kind: "access-token", name: String(id) },
          details: { name, scopes, expiresAt },
        }),
      );
      request.log.info({ user: user.name, token: token.id, scopes: token.scopes }, "access token created");
      return reply.status(201).send(token);
    },
  );

  app.delete(
    "/account/tokens/:id",
    {
      schema: {
        tags,
        summary: "Delete an access token",
        description: "Requests with it are refused from now on, and streams that it opened end within seconds.",
        params: z.strictObject({ id: z.coerce.number().int().positive().max(Number.MAX_SAFE_INTEGER) }),
        response: { 204: z.null(), ...errorAnswers },
      },
    },
    async (request, reply) => {
      const user = ownAccount(request);
      const { id } = request.params;
      const deleted = await audited(
        db,
        request,
        (transaction) => deleteAccessToken(transaction, user.id, id),
        (done) =>
          done
            ? {
                action: "access-token.deleted",
                namespace: user.name,
                target: { kind: "access-token", name: String(id) },
              }
            : null,
      );
      if (!deleted) throw notFound(`access token ${id}`);
      request.log.info({ user: user.name, token: id }, "access token deleted");
      return reply.status(204).send(null);
    },
  );
}
