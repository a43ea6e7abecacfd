import type { ListAccountsQuery, SiteRole, UpdateUserRequest, UserList, UserView } from "@airlock/api";
import { AirlockError } from "@airlock/job";
import { sql } from "kysely";
import type { Database } from "../store/database.ts";
import { inTransaction } from "../store/in-transaction.ts";
import { takeName } from "./namespaces.ts";
import { containsText } from "./search-text.ts";
import { endUserSessions } from "./user-sessions.ts";

/** Class of the advisory lock, distinct from those of other parts. */
const administratorLock = 415_220;

export interface NewUser {
  readonly name: string;
  readonly displayName: string;
  readonly role: SiteRole;
  /** Hash in the PHC format; `null`: the user can't sign in with a password yet. */
  readonly password: string | null;
}

/** @throws {AirlockError} `name-taken`. */
export async function createUser(db: Database, { name, displayName, role, password }: NewUser): Promise<UserView> {
  await inTransaction(db, async (transaction) => {
    await takeName(transaction, { name, displayName, kind: "user" });
    await transaction.insertInto("users").values({ name, role, password, disabled_at: null }).execute();
  });
  return getUser(db, name);
}

export async function hasUsers(db: Database): Promise<boolean> {
  return (await db.selectFrom("users").select("id").limit(1).executeTakeFirst()) !== undefined;
}

/**
 * Creates the first user of the instance. Of several requests at the same time, only one succeeds.
 * @throws {AirlockError} `already-set-up`, `name-taken`.
 */
export async function createFirstAdministrator(
  db: Database,
  { name, displayName, password }: Omit<NewUser, "role" | "password"> & { readonly password: string },
): Promise<{ readonly id: number; readonly name: string }> {
  return inTransaction(db, async (transaction) => {
    await sql`select pg_advisory_xact_lock(${administratorLock}, 0)`.execute(transaction);
    if (await hasUsers(transaction)) {
      throw new AirlockError("the instance has users already", {
        code: "already-set-up",
        hint: "Create further users with POST /api/v1/users.",
      });
    }
    await takeName(transaction, { name, displayName, kind: "user" });
    return transaction
      .insertInto("users")
      .values({ name, role: "administrator", password, disabled_at: null })
      .returning(["id", "name"])
      .executeTakeFirstOrThrow();
  });
}

function select(db: Database) {
  return db
    .selectFrom("users")
    .innerJoin("namespaces", "namespaces.name", "users.name")
    .select(["users.name", "users.role", "users.disabled_at", "users.created_at", "namespaces.display_name"]);
}

interface Row {
  name: string;
  role: SiteRole;
  disabled_at: Date | null;
  created_at: Date;
  display_name: string;
}

function toView(row: Row): UserView {
  return {
    name: row.name,
    displayName: row.display_name,
    role: row.role,
    disabled: row.disabled_at !== null,
    createdAt: row.created_at.toISOString(),
  };
}

/** @throws {AirlockError} `not-found`. */
export async function getUser(db: Database, name: string): Promise<UserView> {
  const row = await select(db).where("users.name", "=", name).executeTakeFirst();
  if (!row) throw noUser(name);
  return toView(row);
}

/** @throws {AirlockError} `not-found`. */
export async function getUserId(db: Database, name: string): Promise<number> {
  const row = await db.selectFrom("users").select("id").where("name", "=", name).executeTakeFirst();
  if (!row) throw noUser(name);
  return row.id;
}

export async function listUsers(db: Database, { text, after, limit }: ListAccountsQuery): Promise<UserList> {
  let query = select(db);
  if (text) query = query.where(containsText(text));
  if (after !== undefined) query = query.where("users.name", ">", after);
  const rows = await query
    .orderBy("users.name")
    .limit(limit + 1)
    .execute();
  const users = rows.slice(0, limit).map(toView);
  return { users, next: rows.length > limit ? (users.at(-1)?.name ?? null) : null };
}

/**
 * Changes a user. Absent fields stay unchanged.
 * @throws {AirlockError} `not-found`, `last-administrator`.
 */
export async function updateUser(db: Database, name: string, changes: UpdateUserRequest): Promise<UserView> {
  await inTransaction(db, async (transaction) => {
    // Otherwise two administrators could disable each other at the same time.
    await sql`select pg_advisory_xact_lock(${administratorLock}, 0)`.execute(transaction);
    const user = await transaction.selectFrom("users").selectAll().where("name", "=", name).executeTakeFirst();
    if (!user) throw noUser(name);
    const wasAdministrator = user.role === "administrator" && user.disabled_at === null;
    const role = changes.role ?? user.role;
    const disabled = changes.disabled ?? user.disabled_at !== null;
    if (wasAdministrator && (role !== "administrator" || disabled)) {
      await requireOtherAdministrator(transaction, user.id);
    }
    await transaction
      .updateTable("users")
      .set({ role, disabled_at: disabled ? (user.disabled_at ?? new Date()) : null })
      .where("id", "=", user.id)
      .execute();
    if (disabled) {
      await endUserSessions(transaction, user.id);
      await transaction.deleteFrom("password_links").where("user_id", "=", user.id).execute();
    }
    if (changes.displayName !== undefined) {
      await transaction
        .updateTable("namespaces")
        .set({ display_name: changes.displayName })
        .where("name", "=", name)
        .execute();
    }
  });
  return getUser(db, name);
}

async function requireOtherAdministrator(transaction: Database, id: number): Promise<void> {
  const other = await transaction
    .selectFrom("users")
    .select("id")
    .where("role", "=", "administrator")
    .where("disabled_at", "is", null)
    .where("id", "<>", id)
    .limit(1)
    .executeTakeFirst();
  if (other) return;
  throw new AirlockError("the instance would have no administrator", {
    code: "last-administrator",
    hint: "Make another user an administrator first.",
  });
}

export function noUser(name: string): AirlockError {
  return new AirlockError(`no user named "${name}"`, { code: "not-found" });
}
