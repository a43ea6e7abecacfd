import { createHmac, randomBytes } from "node:crypto";
import { sql } from "kysely";
import type { Database } from "../../store/database.ts";
import { secretEqual } from "../shared/secret-equal.ts";

export const sessionCookie = "airlock_session";
export const sessionLifetimeMs = 30 * 24 * 3_600_000;

export interface Session {
  readonly id: string;
  /** Unix time in ms. */
  readonly expiresAt: number;
}

/**
 * Creates the value of a session cookie: expiry, random id and a signature made with the administrator's token. Every
 * instance with that token accepts it, and a new token ends all sessions.
 */
export function createSession(
  administratorToken: string,
  now: number,
): { readonly id: string; readonly cookie: string } {
  const session: Session = { id: randomBytes(12).toString("hex"), expiresAt: now + sessionLifetimeMs };
  return { id: session.id, cookie: `${session.expiresAt}.${session.id}.${sign(administratorToken, session)}` };
}

/** Returns `null` if the cookie is forged or expired. */
export function readSession(cookie: string, administratorToken: string, now: number): Session | null {
  const [, expiresAt, id, signature] = /^(\d{13})\.([0-9a-f]{24})\.([\w-]{43})$/.exec(cookie) ?? [];
  if (expiresAt === undefined || id === undefined || signature === undefined) return null;
  const session: Session = { id, expiresAt: Number(expiresAt) };
  return session.expiresAt >= now && secretEqual(signature, sign(administratorToken, session)) ? session : null;
}

function sign(administratorToken: string, session: Session): string {
  const text = `airlock session ${session.expiresAt} ${session.id}`;
  return createHmac("sha256", administratorToken).update(text).digest("base64url");
}

/** Invalidates the cookie, including all copies of it. */
export async function endSession(db: Database, session: Session): Promise<void> {
  await db
    .insertInto("ended_sessions")
    .values({ id: session.id, expires_at: new Date(session.expiresAt) })
    .onConflict((conflict) => conflict.doNothing())
    .execute();
}

export async function hasEnded(db: Database, session: Session): Promise<boolean> {
  const row = await db.selectFrom("ended_sessions").select("id").where("id", "=", session.id).executeTakeFirst();
  return row !== undefined;
}

/** Deletes records of sessions that would have expired by now anyway. */
export async function forgetEndedSessions(db: Database): Promise<void> {
  await db.deleteFrom("ended_sessions").where("expires_at", "<", sql<Date>`now()`).execute();
}
