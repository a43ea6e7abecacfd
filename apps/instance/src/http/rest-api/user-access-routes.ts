import { AccessTokenList, Namespace, SessionEntryList } from "@airlock/api";
import { z } from "zod";
import { deleteAccessToken, listAccessTokens } from "../../accounts/access-tokens.ts";
import { endUserSession, listUserSessions } from "../../accounts/user-sessions.ts";
import { getUserId } from "../../accounts/users.ts";
import { audited } from "../shared/audit-source.ts";
import type { InstanceContext } from "../shared/instance-context.ts";
import { accessOf } from "../shared/route-access.ts";
import { errorAnswers, notFound, type ZodScope } from "./zod-scope.ts";

const tags = ["users"];
const params = z.strictObject({ name: Namespace });
const oneParams = params.extend({ id: z.coerce.number().int().positive().max(Number.MAX_SAFE_INTEGER) });

/** The sessions and access tokens of any user, for administrators. */
export function userAccessRoutes(app: ZodScope, { db }: InstanceContext): void {
  app.get(
    "/users/:name/sessions",
    {
      schema: {
        tags,
        summary: "List the browsers in which a user is signed in",
        params,
        response: { 200: SessionEntryList, ...errorAnswers },
      },
    },
    async (request) => {
      const user = await getUserId(db, request.params.name);
      const { actor } = accessOf(request);
      const own = actor.kind === "administrator" ? (actor.user?.session ?? null) : null;
      return { sessions: await listUserSessions(db, user, own) };
    },
  );

  app.delete(
    "/users/:name/sessions/:id",
    {
      schema: {
        tags,
        summary: "End a user's session",
        description: "Streams that it opened end within seconds.",
        params: oneParams,
        response: { 204: z.null(), ...errorAnswers },
      },
    },
    async (request, reply) => {
      const { name, id } = request.params;
      const user = await getUserId(db, name);
      const ended = await audited(
        db,
        request,
        (transaction) => endUserSession(transaction, user, id),
        (done) =>
          done ? { action: "session.ended", namespace: name, target: { kind: "session", name: String(id) } } : null,
      );
      if (!ended) throw notFound(`session ${id} of ${name}`);
      request.log.info({ user: name, session: id }, "session ended by an administrator");
      return reply.status(204).send(null);
    },
  );

  app.get(
    "/users/:name/tokens",
    {
      schema: {
        tags,
        summary: "List a user's access tokens",
        params,
        response: { 200: AccessTokenList, ...errorAnswers },
      },
    },
    async (request) => ({ tokens: await listAccessTokens(db, await getUserId(db, request.params.name)) }),
  );

  app.delete(
    "/users/:name/tokens/:id",
    {
      schema: {
        tags,
        summary: "Delete a user's access token",
        description: "Requests with it are refused from now on, and streams that it opened end within seconds.",
        params: oneParams,
        response: { 204: z.null(), ...errorAnswers },
      },
    },
    async (request, reply) => {
      const { name, id } = request.params;
      const user = await getUserId(db, name);
      const deleted = await audited(
        db,
        request,
        (transaction) => deleteAccessToken(transaction, user, id),
        (done) =>
          done
            ? { action: "access-token.deleted", namespace: name, target: { kind: "access-token", name: String(id) } }
            : null,
      );
      if (!deleted) throw notFound(`access token ${id} of ${name}`);
      request.log.info({ user: name, token: id }, "access token deleted by an administrator");
      return reply.status(204).send(null);
    },
  );
}
