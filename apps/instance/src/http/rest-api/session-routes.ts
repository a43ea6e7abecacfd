import { CreateSessionRequest, SessionView } from "@airlock/api";
import { AirlockError } from "@airlock/job";
import { z } from "zod";
import type { InstanceContext } from "../shared/instance-context.ts";
import { secretEqual } from "../shared/secret-equal.ts";
import { requireSameOrigin, sessionOf } from "./authenticate-administrator.ts";
import { createSession, endSession, sessionCookie, sessionLifetimeMs } from "./sessions.ts";
import { errorAnswers, type ZodScope } from "./zod-scope.ts";

const tags = ["session"];

/** Beginning and ending a session needs no credentials. */
export function sessionRoutes(app: ZodScope, context: InstanceContext): void {
  const { administratorToken, db, version } = context;
  const { externalUrl } = context.config;
  const cookie = {
    path: "/",
    httpOnly: true,
    sameSite: "strict",
    secure: externalUrl?.startsWith("https:") ?? false,
  } as const;

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
      // Otherwise another site could log a browser in here with a token of its choice (login CSRF).
      if (request.headers.origin !== undefined || request.headers["sec-fetch-site"] !== undefined) {
        requireSameOrigin(request, externalUrl);
      }
      if (!secretEqual(request.body.token, administratorToken)) {
        throw new AirlockError("the token is not the administrator's", {
          code: "unauthorized",
          hint: "The token is in the file `token` of the data directory, unless AIRLOCK_TOKEN sets it.",
        });
      }
      reply.setCookie(sessionCookie, createSession(administratorToken, Date.now()), {
        ...cookie,
        maxAge: sessionLifetimeMs / 1000,
      });
      return { role: "administrator" as const, version };
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
      const session = sessionOf(request, administratorToken);
      if (session) {
        requireSameOrigin(request, externalUrl);
        await endSession(db, session);
      }
      reply.clearCookie(sessionCookie, cookie);
      return reply.status(204).send(null);
    },
  );
}

export function currentSessionRoute(app: ZodScope, { version }: InstanceContext): void {
  app.get(
    "/session",
    { schema: { tags, summary: "Show the current user", response: { 200: SessionView, ...errorAnswers } } },
    async () => ({ role: "administrator" as const, version }),
  );
}
