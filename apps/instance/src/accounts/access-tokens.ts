import type { AccessTokenView, OrganizationRole, SiteRole, TokenScope } from "@airlock/api";
import { AirlockError } from "@airlock/job";
import { type Selectable, sql } from "kysely";
import type { Database } from "../store/database.ts";
import type { Schema } from "../store/schema.ts";
import { isCheckedToken, newCheckedToken, tokenDigest } from "./checked-token.ts";

/** Secret scanners find tokens by this prefix. */
export const accessTokenPrefix = "airlock_pat_";
/** A user needs a few. Without a limit, one could fill the database. */
const maxTokens = 100;

export function isAccessToken(text: string): boolean {
  return isCheckedToken(accessTokenPrefix, text);
}

export interface TokenOwner {
  readonly token: number;
  readonly scopes: readonly TokenScope[];
  readonly id: number;
  readonly name: string;
  readonly role: SiteRole;
  readonly memberships: Readonly<Record<string, OrganizationRole>>;
}

/** The owner of a token; `null`: it is unknown or has expired, or the user is disabled. */
export async function findAccessToken(db: Database, token: string, address: string): Promise<TokenOwner | null> {
  if (!isAccessToken(token)) return null;
  const { rows } = await sql<TokenOwner & { readonly stale: boolean }>`
    select tokens.id as token, tokens.scopes, users.id, users.name, users.role,
      coalesce((select jsonb_object_agg(organization, role) from memberships where user_id = users.id), '{}') as memberships,
      tokens.last_used_at is null or tokens.last_used_at < now() - interval '1 minute' as stale
    from access_tokens tokens join users on users.id = tokens.user_id
    where tokens.token_sha256 = ${tokenDigest(token)} and users.disabled_at is null
      and (tokens.expires_at is null or tokens.expires_at > now())`.execute(db);
  const [row] = rows;
  if (!row) return null;
  const { stale, ...owner } = row;
  if (stale) {
    await db
      .updateTable("access_tokens")
      .set({ last_used_at: new Date(), last_address: address })
      .where("id", "=", owner.token)
      .execute();
  }
  return owner;
}

export interface NewAccessToken {
  readonly name: string;
  readonly scopes: readonly TokenScope[];
  /** `null`: never. */
  readonly expiresAt: string | null;
}

/**
 * The token itself is in this answer and nowhere else.
 * @throws {AirlockError} `too-many-tokens`.
 */
export async function createAccessToken(
  db: Database,
  userId: number,
  { name, scopes, expiresAt }: NewAccessToken,
): Promise<AccessTokenView & { readonly token: string }> {
  const { count } = await db
    .selectFrom("access_tokens")
    .select((select) => select.fn.countAll<number>().as("count"))
    .where("user_id", "=", userId)
    .executeTakeFirstOrThrow();
  if (count >= maxTokens) {
    throw new AirlockError(`you have ${count} access tokens`, {
      code: "too-many-tokens",
      hint: "Delete tokens that you don't use.",
    });
  }
  const token = newCheckedToken(accessTokenPrefix);
  const row = await db
    .insertInto("access_tokens")
    .values({
      token_sha256: tokenDigest(token),
      user_id: userId,
      name,
      scopes: [...new Set(scopes)],
      expires_at: expiresAt === null ? null : new Date(expiresAt),
      last_used_at: null,
      last_address: null,
    })
    .returningAll()
    .executeTakeFirstOrThrow();
  return { ...toView(row), token };
}

/** Newest first, expired ones included. */
export async function listAccessTokens(db: Database, userId: number): Promise<AccessTokenView[]> {
  const rows = await db
    .selectFrom("access_tokens")
    .selectAll()
    .where("user_id", "=", userId)
    .orderBy("id", "desc")
    .execute();
  return rows.map(toView);
}

/** Returns whether the user had this token. */
export async function deleteAccessToken(db: Database, userId: number, id: number): Promise<boolean> {
  const row = await db
    .deleteFrom("access_tokens")
    .where("id", "=", id)
    .where("user_id", "=", userId)
    .returning("id")
    .executeTakeFirst();
  return row !== undefined;
}

function toView(row: Selectable<Schema["access_tokens"]>): AccessTokenView {
  return {
    id: row.id,
    name: row.name,
    scopes: row.scopes,
    createdAt: row.created_at.toISOString(),
    expiresAt: row.expires_at?.toISOString() ?? null,
    lastUsedAt: row.last_used_at?.toISOString() ?? null,
    lastAddress: row.last_address,
  };
}
