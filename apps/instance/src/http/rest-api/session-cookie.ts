import { createHmac, randomBytes } from "node:crypto";
import type { AuditCredential } from "@airlock/api";
import type { FastifyReply, FastifyRequest } from "fastify";
import {
  beginUserSession,
  endUserSession,
  findUserSession,
  userSessionLifetimeMs,
} from "../../accounts/user-sessions.ts";
import { recordAudit } from "../../audit/audit-log.ts";
import { inTransaction } from "../../store/in-transaction.ts";
import type { InstanceContext } from "../shared/instance-context.ts";
import { secretEqual } from "../shared/secret-equal.ts";
import { requireSameOrigin, sessionOf } from "./authenticate-person.ts";
import { endSession, hasEnded, sessionCookie } from "./sessions.ts";

/** Attributes of all cookies of the instance. */
export function cookieOptions(context: InstanceContext) {
  return {
    path: "/",
    httpOnly: true,
    sameSite: "strict",
    secure: context.config.externalUrl?.startsWith("https:") ?? false,
  } as const;
}

/** Refuses a sign-in that another site caused: it would sign a browser in to an account of its choice (login CSRF). */
export function requireOwnPage(request: FastifyRequest, context: InstanceContext): void {
  if (request.headers.origin === undefined && request.headers["sec-fetch-site"] === undefined) return;
  requireSameOrigin(request, context.config.externalUrl);
}

/** Begins a session of the user, and ends the one that the browser had before. */
export async function signIn(
  request: FastifyRequest,
  reply: FastifyReply,
  context: InstanceContext,
  user: { readonly id: number; readonly name: string },
  via: AuditCredential,
  lifetimeMs: number = userSessionLifetimeMs,
): Promise<void> {
  const userAgent = request.headers["user-agent"] ?? "";
  const { cookie } = await inTransaction(context.db, async (db) => {
    await endSessionOf(request, { ...context, db });
    const session = await beginUserSession(db, user.id, { address: request.ip, userAgent }, lifetimeMs);
    const by = { actor: user.name, via, credential: String(session.id), address: request.ip };
    const target = { kind: "user", name: user.name };
    await recordAudit(db, by, [{ action: "session.begun", namespace: user.name, target, details: { userAgent } }]);
    return session;
  });
  const options = cookieOptions(context);
  reply.setCookie(sessionCookie, cookie, { ...options, maxAge: Math.floor(lifetimeMs / 1000) });
  rememberBrowser(request, reply, context, user.name);
}

/** Ends the session of the request's cookie, whatever its kind. */
export async function endSessionOf(request: FastifyRequest, context: InstanceContext): Promise<void> {
  const { administratorToken } = context;
  await inTransaction(context.db, async (db) => {
    const ended = (actor: string, via: AuditCredential, credential: string) =>
      recordAudit(db, { actor, via, credential, address: request.ip }, [
        {
          action: "session.ended",
          namespace: via === "session" ? actor : null,
          target: { kind: "session", name: credential },
        },
      ]);
    const session = sessionOf(request, administratorToken);
    if (session && !(await hasEnded(db, session))) {
      await endSession(db, session);
      await ended("administrator", "administrator-session", session.id);
    }
    const user = await findUserSession(db, request.cookies[sessionCookie] ?? "");
    if (user && (await endUserSession(db, user.id, user.session))) {
      await ended(user.name, "session", String(user.session));
    }
  });
}

const browserCookie = "airlock_browser";
const browserLifetimeS = 365 * 24 * 3600;

/**
 * Identifies a browser that signed in to the account before; `null`: it did not. Attempts of such a browser count on
 * their own, so that others who guess the password can't keep its owner out.
 */
export function browserOf(
  request: FastifyRequest,
  { administratorToken }: InstanceContext,
  name: string,
): string | null {
  const [id = "", signature = ""] = (request.cookies[browserCookie] ?? "").split(".");
  if (!/^[0-9a-f]{24}$/.test(id)) return null;
  return secretEqual(signature, sign(administratorToken, id, name)) ? id : null;
}

function rememberBrowser(request: FastifyRequest, reply: FastifyReply, context: InstanceContext, name: string): void {
  const { administratorToken } = context;
  const id = browserOf(request, context, name) ?? randomBytes(12).toString("hex");
  reply.setCookie(browserCookie, `${id}.${sign(administratorToken, id, name)}`, {
    ...cookieOptions(context),
    path: "/api/v1/sign-in",
    maxAge: browserLifetimeS,
  });
}

function sign(administratorToken: string, id: string, name: string): string {
  return createHmac("sha256", administratorToken).update(`airlock browser ${id} ${name}`).digest("base64url");
}
