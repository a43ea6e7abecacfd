import { AirlockError } from "@airlock/job";
// Declares `request.cookies`.
import type {} from "@fastify/cookie";
import type { FastifyRequest } from "fastify";
import type { Actor } from "../../access/actor.ts";
import type { Database } from "../../store/database.ts";
import { secretEqual } from "../shared/secret-equal.ts";
import { hasEnded, readSession, type Session, sessionCookie } from "./sessions.ts";

export interface AdministratorAuthentication {
  readonly db: Database;
  readonly administratorToken: string;
  readonly externalUrl: string | null;
}

/**
 * Accepts the administrator's token or a session cookie. Browsers also send cookies with requests that other sites
 * cause (CSRF), so a request that changes something must come from our own pages.
 * @throws {AirlockError} `unauthorized`, `forbidden`.
 */
export async function authenticateAdministrator(
  request: FastifyRequest,
  options: AdministratorAuthentication,
): Promise<Actor> {
  const { authorization } = request.headers;
  if (authorization !== undefined) {
    const [, token] = /^Bearer +(\S+)$/i.exec(authorization) ?? [];
    if (token !== undefined && secretEqual(token, options.administratorToken)) {
      return { kind: "administrator", via: "token" };
    }
    throw unauthorized("the token is not the administrator's");
  }
  if (request.cookies[sessionCookie] === undefined) throw unauthorized("no credentials");
  if (!(await sessionHolds(request, options))) throw unauthorized("the session has ended");
  if (request.method !== "GET" && request.method !== "HEAD") requireSameOrigin(request, options.externalUrl);
  return { kind: "administrator", via: "session" };
}

async function sessionHolds(request: FastifyRequest, options: AdministratorAuthentication): Promise<boolean> {
  const session = sessionOf(request, options.administratorToken);
  return session !== null && !(await hasEnded(options.db, session));
}

/** The session of the request's cookie; `null`: no cookie, or an invalid one. */
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
