import { createHmac } from "node:crypto";
import { AirlockError } from "@airlock/job";
// Declares `request.cookies`.
import type {} from "@fastify/cookie";
import type { FastifyRequest } from "fastify";
import { secretEqual } from "../secret-equal.ts";

export const sessionCookie = "airlock_session";
export const sessionLifetimeMs = 30 * 24 * 3_600_000;

/**
 * The value of a session cookie: its end and a signature made with the administrator's token, so that every instance
 * with that token accepts it, none keeps state, and a new token ends all sessions.
 */
export function createSession(administratorToken: string, now: number): string {
  const expiresAt = now + sessionLifetimeMs;
  return `${expiresAt}.${sign(administratorToken, expiresAt)}`;
}

function isValidSession(cookie: string, administratorToken: string, now: number): boolean {
  const [expiresAt = "", signature = ""] = cookie.split(".");
  if (!/^\d{13}$/.test(expiresAt) || Number(expiresAt) < now) return false;
  return secretEqual(signature, sign(administratorToken, Number(expiresAt)));
}

function sign(administratorToken: string, expiresAt: number): string {
  return createHmac("sha256", administratorToken).update(`airlock session ${expiresAt}`).digest("base64url");
}

export interface AdministratorAuthentication {
  readonly administratorToken: string;
  readonly externalUrl: string | null;
}

/**
 * Lets the administrator's token pass, or a session cookie. A browser sends a cookie along with requests that other sites
 * make it send, so one that changes something must come from our own pages.
 * @throws {AirlockError} `unauthorized`, `forbidden`.
 */
export function authenticateAdministrator(request: FastifyRequest, options: AdministratorAuthentication): void {
  const { authorization } = request.headers;
  if (authorization !== undefined) {
    const [, token] = /^Bearer +(\S+)$/i.exec(authorization) ?? [];
    if (token !== undefined && secretEqual(token, options.administratorToken)) return;
    throw unauthorized("the token is not the administrator's");
  }
  const cookie = request.cookies[sessionCookie];
  if (cookie === undefined) throw unauthorized("no credentials");
  if (!isValidSession(cookie, options.administratorToken, Date.now())) throw unauthorized("the session has ended");
  if (request.method !== "GET" && request.method !== "HEAD") requireSameOrigin(request, options.externalUrl);
}

/** @throws {AirlockError} `forbidden` when another site made the browser send this. */
export function requireSameOrigin(request: FastifyRequest, externalUrl: string | null): void {
  const site = request.headers["sec-fetch-site"];
  const { origin } = request.headers;
  if (site === "same-origin") return;
  if (site === undefined && origin !== undefined && isOwnOrigin(origin, request, externalUrl)) return;
  throw new AirlockError("the request comes from another site", {
    code: "forbidden",
    hint: "Programs use the token in an Authorization header, not the cookie.",
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
    hint: "Send `Authorization: Bearer <administrator's token>`; the token stands in the file `token` of the data directory.",
  });
}
