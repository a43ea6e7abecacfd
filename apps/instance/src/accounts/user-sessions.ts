import { createHash, randomBytes } from "node:crypto";
import type { OrganizationRole, SessionEntry, SiteRole } from "@airlock/api";
import { sql } from "kysely";
import type { Database } from "../store/database.ts";

export const userSessionLifetimeMs = 30 * 24 * 3_600_000;
const maxUserAgentLength = 300;
/** More sessions of one user than anybody has browsers. The oldest ends when a new one begins. */
const maxSessions = 100;

const tokenPattern = /^u\.[\w-]{43}$/;

/** Whether a cookie has the format of a user's session. It may still have ended. */
export function isUserSession(cookie: string): boolean {
  return tokenPattern.test(cookie);
}

export interface Client {
  readonly address: string;
  readonly userAgent: string;
}

/** Begins a session. `cookie` is the value of its cookie. */
export async function beginUserSession(
  db: Database,
  userId: number,
  client: Client,
  lifetimeMs: number = userSessionLifetimeMs,
): Promise<{ readonly id: number; readonly cookie: string }> {
  const token = `u.${randomBytes(32).toString("base64url")}`;
  const { id } = await db
    .insertInto("user_sessions")
    .values({
      token_sha256: digest(token),
      user_id: userId,
      expires_at: new Date(Date.now() + lifetimeMs),
      address: client.address,
      user_agent: client.userAgent.slice(0, maxUserAgentLength),
    })
    .returning("id")
    .executeTakeFirstOrThrow();
  await sql`delete from user_sessions where user_id = ${userId} and id not in (
    select id from user_sessions where user_id = ${userId} order by last_used_at desc, id desc limit ${maxSessions})`.execute(
    db,
  );
  return { id, cookie: token };
}

export interface SignedInUser {
  readonly session: number;
  readonly id: number;
  readonly name: string;
  readonly displayName: string;
  readonly role: SiteRole;
  readonly memberships: Readonly<Record<string, OrganizationRole>>;
}

/** The user of a session's cookie; `null`: the session has ended, or the user is disabled. */
export async function findUserSession(db: Database, cookie: string): Promise<SignedInUser | null> {
  if (!isUserSession(cookie)) return null;
  const { rows } = await sql<SignedInUser & { readonly stale: boolean }>`
    select sessions.id as session, users.id, users.name, namespaces.display_name as "displayName", users.role,
      coalesce((select jsonb_object_agg(organization, role) from memberships where user_id = users.id), '{}') as memberships,
      sessions.last_used_at < now() - interval '1 minute' as stale
    from user_sessions sessions
    join users on users.id = sessions.user_id
    join namespaces on namespaces.name = users.name
    where sessions.token_sha256 = ${digest(cookie)} and sessions.expires_at > now() and users.disabled_at is null`.execute(
    db,
  );
  const [row] = rows;
  if (!row) return null;
  const { stale, ...user } = row;
  if (stale) {
    await sql`update user_sessions set last_used_at = now() where id = ${user.session}`.execute(db);
  }
  return user;
}

/** Newest use first. */
export async function listUserSessions(db: Database, userId: number, current: number | null): Promise<SessionEntry[]> {
  const rows = await db
    .selectFrom("user_sessions")
    .selectAll()
    .where("user_id", "=", userId)
    .where("expires_at", ">", sql<Date>`now()`)
    .orderBy("last_used_at", "desc")
    .orderBy("id", "desc")
    .execute();
  return rows.map((row) => ({
    id: row.id,
    createdAt: row.created_at.toISOString(),
    lastUsedAt: row.last_used_at.toISOString(),
    expiresAt: row.expires_at.toISOString(),
    address: row.address,
    userAgent: row.user_agent,
    current: row.id === current,
  }));
}

/** Returns whether the user had this session. */
export async function endUserSession(db: Database, userId: number, session: number): Promise<boolean> {
  const row = await db
    .deleteFrom("user_sessions")
    .where("id", "=", session)
    .where("user_id", "=", userId)
    .returning("id")
    .executeTakeFirst();
  return row !== undefined;
}

/** @param except This session goes on. */
export async function endUserSessions(db: Database, userId: number, except: number | null = null): Promise<void> {
  await sql`delete from user_sessions where user_id = ${userId} and id is distinct from ${except}::bigint`.execute(db);
}

export async function forgetUserSessions(db: Database): Promise<void> {
  await sql`delete from user_sessions where expires_at < now()`.execute(db);
  await sql`delete from password_links where expires_at < now()`.execute(db);
}

function digest(token: string): Buffer {
  return createHash("sha256").update(token).digest();
}
