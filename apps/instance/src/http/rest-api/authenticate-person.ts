import { AirlockError } from "@airlock/job";
// Declares `request.cookies`.
import type {} from "@fastify/cookie";
import type { FastifyRequest } from "fastify";
import type { Actor, UserIdentity } from "../../access/actor.ts";
import { findAccessToken } from "../../accounts/access-tokens.ts";
import { findUserSession, isUserSession, type SignedInUser } from "../../accounts/user-sessions.ts";
import type { Database } from "../../store/database.ts";
import { secretEqual } from "../shared/secret-equal.ts";
import { hasEnded, readSession, type Session, sessionCookie } from "./sessions.ts";

export interface PersonAuthentication {
  readonly db: Database;
  readonly administratorToken: string;
  readonly externalUrl: string | null;
}

/**
 * Accepts the administrator's token, an access token or a session cookie. Browsers also send cookies with requests that other sites
 * cause (CSRF), so a request that changes something must come from our own pages.
 * @throws {AirlockError} `unauthorized`, `forbidden`.
 */
export async function authenticatePerson(request: FastifyRequest, options: PersonAuthentication): Promise<Actor> {
  const { authorization } = request.headers;
  if (authorization !== undefined) {
    const [, token = ""] = /^(?:Bearer|token) +(\S+)$/i.exec(authorization) ?? [];
    // Clients of Sourcegraph send `token`. The administrator's own token keeps its one scheme.
    if (/^Bearer /i.test(authorization) && secretEqual(token, options.administratorToken)) {
      return { kind: "administrator", via: "token", user: null };
    }
    const owner = await findAccessToken(options.db, token, request.ip);
    if (owner) return actorOf({ ...owner, session: null, scopes: new Set(owner.scopes) }, "token");
    throw unauthorized("the token is neither the administrator's nor a valid access token");
  }
  const cookie = request.cookies[sessionCookie];
  if (cookie === undefined) throw unauthorized("no credentials");
  const actor = isUserSession(cookie) ? await userOf(options.db, cookie) : await administratorOf(request, options);
  if (actor === null) throw unauthorized("the session has ended");
  if (request.method !== "GET" && request.method !== "HEAD") requireSameOrigin(request, options.externalUrl);
  return actor;
}

async function administratorOf(request: FastifyRequest, options: PersonAuthentication): Promise<Actor | null> {
  const session = sessionOf(request, options.administratorToken);
  if (session === null || (await hasEnded(options.db, session))) return null;
  return { kind: "administrator", via: "session", user: null, session: session.id };
}

async function userOf(db: Database, cookie: string): Promise<Actor | null> {
  const found = await findUserSession(db, cookie);
  return found && actorOf({ ...found, token: null, scopes: null }, "session");
}

function actorOf(
  { id, name, session, token, scopes, role, memberships }: UserIdentity & Pick<SignedInUser, "role" | "memberships">,
  via: "token" | "session",
): Actor {
  const user = { id, name, session, token, scopes };
  if (role === "administrator") return { kind: "administrator", via, user };
  return { kind: "user", via, user, namespaces: new Map([...Object.entries(memberships), [name, "owner"] as const]) };
}

/** The session of the administrator's token in the request's cookie; `null`: no cookie, or an invalid one. */
export function sessionOf(request: FastifyRequest, administratorToken: string): Session | null {
  const cookie = request.cookies[sessionCookie];
  return cookie === undefined ? null : readSession(cookie, administratorToken, Date.now());
}

/** @throws {AirlockError} `forbidden` when another site caused this request (CSRF). */
export function requireSameOrigin(request: FastifyRequest, externalUrl: string | null): void {
  const site = request.headers["sec-fetch-site"];
  const { origin } = request.headers;
  if (site === "same-origin") return;
  if (site === undefined && origin !== undefined && isOwnOrigin(origin, request, externalUrl)) return;
  throw new AirlockError("the request comes from another site", {
    code: "forbidden",
    hint: "Programs must send the token in an Authorization header instead of the cookie.",
  });
}

function isOwnOrigin(origin: string, request: FastifyRequest, externalUrl: string | null): boolean {
  if (!URL.canParse(origin)) return false;
  if (externalUrl !== null && new URL(origin).origin === new URL(externalUrl).origin) return true;
  return new URL(origin).host === request.headers.host;
}

function unauthorized(problem: string): AirlockError {
  return new AirlockError(problem, {
    code: "unauthorized",
    hint: "Send `Authorization: Bearer <administrator's token>`; the token is in the file `token` of the data directory.",
  });
}
