import { createHmac, randomBytes } from "node:crypto";
import type { FastifyReply, FastifyRequest } from "fastify";
import {
  beginUserSession,
  endUserSession,
  findUserSession,
  userSessionLifetimeMs,
} from "../../accounts/user-sessions.ts";
import type { InstanceContext } from "../shared/instance-context.ts";
import { secretEqual } from "../shared/secret-equal.ts";
import { requireSameOrigin, sessionOf } from "./authenticate-person.ts";
import { endSession, sessionCookie } from "./sessions.ts";

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
): Promise<void> {
  await endSessionOf(request, context);
  const token = await beginUserSession(context.db, user.id, {
    address: request.ip,
    userAgent: request.headers["user-agent"] ?? "",
  });
  const options = cookieOptions(context);
  reply.setCookie(sessionCookie, token, { ...options, maxAge: userSessionLifetimeMs / 1000 });
  rememberBrowser(request, reply, context, user.name);
}

/** Ends the session of the request's cookie, whatever its kind. */
export async function endSessionOf(request: FastifyRequest, context: InstanceContext): Promise<void> {
  const { db, administratorToken } = context;
  const session = sessionOf(request, administratorToken);
  if (session) await endSession(db, session);
  const user = await findUserSession(db, request.cookies[sessionCookie] ?? "");
  if (user) await endUserSession(db, user.id, user.session);
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
