import { CreateSessionRequest, SessionView } from "@airlock/api";
import { AirlockError } from "@airlock/job";
import type { FastifyRequest } from "fastify";
import { z } from "zod";
import type { Actor } from "../../access/actor.ts";
import { getUser, hasUsers } from "../../accounts/users.ts";
import { recordAudit } from "../../audit/audit-log.ts";
import { inTransaction } from "../../store/in-transaction.ts";
import { senderOf } from "../shared/audit-source.ts";
import type { InstanceContext } from "../shared/instance-context.ts";
import { accessOf } from "../shared/route-access.ts";
import { secretEqual } from "../shared/secret-equal.ts";
import { requireSameOrigin } from "./authenticate-person.ts";
import { cookieOptions, endSessionOf, requireOwnPage } from "./session-cookie.ts";
import { createSession, sessionCookie, sessionLifetimeMs } from "./sessions.ts";
import { errorAnswers, type ZodScope } from "./zod-scope.ts";

const tags = ["session"];

/** Beginning and ending a session needs no credentials. */
export function sessionRoutes(app: ZodScope, context: InstanceContext): void {
  const { administratorToken } = context;
  const cookie = cookieOptions(context);

  app.post(
    "/session",
    {
      bodyLimit: 4096,
      schema: {
        tags,
        summary: "Begin a session: exchange the administrator's token for a cookie",
        security: [],
        body: CreateSessionRequest,
        response: { 200: SessionView, ...errorAnswers },
      },
    },
    async (request, reply) => {
      requireOwnPage(request, context);
      if (!secretEqual(request.body.token, administratorToken)) {
        await context.refusals.record(senderOf(request), {
          action: "session.refused",
          details: { code: "unauthorized", with: "administrator's token" },
        });
        throw new AirlockError("the token is not the administrator's", {
          code: "unauthorized",
          hint: "The token is in the file `token` of the data directory, unless AIRLOCK_TOKEN sets it.",
        });
      }
      const { cookie: value, id } = createSession(administratorToken, Date.now());
      await inTransaction(context.db, async (db) => {
        await endSessionOf(request, { ...context, db });
        const by = { actor: "administrator", via: "administrator-token", credential: id, address: request.ip } as const;
        const details = { userAgent: request.headers["user-agent"] ?? "" };
        await recordAudit(db, by, [{ action: "session.begun", target: { kind: "session", name: id }, details }]);
      });
      reply.setCookie(sessionCookie, value, {
        ...cookie,
        maxAge: sessionLifetimeMs / 1000,
      });
      return sessionView(context, { kind: "administrator", via: "session", user: null });
    },
  );

  app.delete(
    "/session",
    {
      schema: {
        tags,
        summary: "End the session",
        description: "Copies of its cookie become invalid, and streams that it opened end within seconds.",
        security: [],
        response: { 204: z.null(), ...errorAnswers },
      },
    },
    async (request, reply) => {
      if (hasCookie(request)) {
        requireSameOrigin(request, context.config.externalUrl);
        await endSessionOf(request, context);
      }
      reply.clearCookie(sessionCookie, cookie);
      return reply.status(204).send(null);
    },
  );
}

function hasCookie(request: FastifyRequest): boolean {
  return request.cookies[sessionCookie] !== undefined;
}

export function currentSessionRoute(app: ZodScope, context: InstanceContext): void {
  app.get(
    "/session",
    { schema: { tags, summary: "Show the current user", response: { 200: SessionView, ...errorAnswers } } },
    async (request) => sessionView(context, accessOf(request).actor),
  );
}

async function sessionView({ db, version }: InstanceContext, actor: Actor): Promise<SessionView> {
  if (actor.kind !== "administrator" && actor.kind !== "user") throw new Error(`${actor.kind} has no session`);
  const user = actor.user === null ? null : await getUser(db, actor.user.name);
  return {
    role: actor.kind === "user" ? "member" : "administrator",
    version,
    user: user && { name: user.name, displayName: user.displayName },
    namespaces:
      actor.kind === "user"
        ? [...actor.namespaces].map(([name, role]) => ({ name, role })).sort((a, b) => a.name.localeCompare(b.name))
        : [],
    needsSetUp: !(await hasUsers(db)),
  };
}
