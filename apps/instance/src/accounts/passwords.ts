import { createHash, randomBytes } from "node:crypto";
import { AirlockError } from "@airlock/job";
import { sql } from "kysely";
import type { Database } from "../store/database.ts";
import { inTransaction } from "../store/in-transaction.ts";
import { hashPassword, verifyPassword } from "./password-hash.ts";
import { passwordProblem } from "./password-rules.ts";
import { countAttempt } from "./sign-in-limits.ts";
import { endUserSessions } from "./user-sessions.ts";

const linkLifetimeMs = 24 * 3_600_000;

export interface Account {
  readonly id: number;
  readonly name: string;
}

/**
 * Checks a name and a password. Wrong names, wrong passwords and disabled users can't be told apart, neither by the
 * error nor by the time.
 * @param browser Identifies a browser that signed in to this account before; `null`: none.
 * @throws {AirlockError} `sign-in-failed`, `too-many-attempts`.
 */
export async function checkPassword(
  db: Database,
  given: { readonly name: string; readonly password: string },
  from: { readonly address: string; readonly browser: string | null },
): Promise<Account> {
  const attempt = await countAttempt(db, { account: given.name, ...from });
  const user = await db
    .selectFrom("users")
    .select(["id", "name", "password"])
    .where("name", "=", given.name)
    .where("disabled_at", "is", null)
    .executeTakeFirst();
  let isRight: boolean;
  try {
    isRight = await verifyPassword(given.password, user?.password ?? null);
  } catch (error) {
    await attempt.release();
    throw error;
  }
  if (!user || !isRight) {
    throw new AirlockError("the name or the password is wrong", {
      code: "sign-in-failed",
      hint: "If you don't remember the password, ask an administrator for a link to set a new one.",
    });
  }
  await attempt.release();
  return { id: user.id, name: user.name };
}

/** @throws {PasswordError} `password-refused`. */
export async function hashNewPassword(password: string, name: string): Promise<string> {
  const problem = passwordProblem(password, name);
  if (problem !== null) throw new PasswordError(problem);
  return hashPassword(password);
}

/** A password that nobody should have. `issues` name the field. */
export class PasswordError extends AirlockError {
  readonly issues: readonly string[];

  constructor(problem: string) {
    super(`the password ${problem}`, {
      code: "password-refused",
      hint: "Several words that don't belong together are easy to remember and hard to guess.",
    });
    this.issues = [`password: ${problem}`];
  }
}

/**
 * Stores a new password, and ends all sessions and the link of the user.
 * @param except This session goes on.
 */
export async function storePassword(
  db: Database,
  userId: number,
  hash: string,
  except: number | null = null,
): Promise<void> {
  await db.updateTable("users").set({ password: hash }).where("id", "=", userId).execute();
  await db.deleteFrom("password_links").where("user_id", "=", userId).execute();
  await endUserSessions(db, userId, except);
}

/**
 * Creates the token of a link with which the user sets a password. An earlier link becomes invalid.
 * @throws {AirlockError} `not-found`.
 */
export async function createPasswordLink(
  db: Database,
  name: string,
): Promise<{ readonly token: string; readonly expiresAt: string }> {
  const token = randomBytes(32).toString("base64url");
  const expiresAt = new Date(Date.now() + linkLifetimeMs);
  const row = await db
    .insertInto("password_links")
    .columns(["user_id", "token_sha256", "expires_at"])
    .expression((from) =>
      from
        .selectFrom("users")
        .select([
          "id",
          sql<Buffer>`${digest(token)}::bytea`.as("hash"),
          sql<Date>`${expiresAt}::timestamptz`.as("until"),
        ])
        .where("name", "=", name),
    )
    .onConflict((conflict) =>
      conflict.column("user_id").doUpdateSet({ token_sha256: digest(token), expires_at: expiresAt }),
    )
    .returning("user_id")
    .executeTakeFirst();
  if (!row) throw new AirlockError(`no user named "${name}"`, { code: "not-found" });
  return { token, expiresAt: expiresAt.toISOString() };
}

/**
 * Sets the password of the link's user. The link can't be used again.
 * @param record Runs in the transaction of the change.
 * @throws {AirlockError} `link-expired`, `password-refused`.
 */
export async function usePasswordLink(
  db: Database,
  token: string,
  password: string,
  record: (transaction: Database, user: Account) => Promise<void>,
): Promise<Account> {
  const user = await db
    .selectFrom("password_links")
    .innerJoin("users", "users.id", "password_links.user_id")
    .select(["users.id", "users.name"])
    .where("token_sha256", "=", digest(token))
    .where("expires_at", ">", sql<Date>`now()`)
    .where("disabled_at", "is", null)
    .executeTakeFirst();
  if (!user) throw linkExpired();
  // A refused password must leave the link valid.
  const hash = await hashNewPassword(password, user.name);
  return inTransaction(db, async (transaction) => {
    const used = await transaction
      .deleteFrom("password_links")
      .where("token_sha256", "=", digest(token))
      .returning("user_id")
      .executeTakeFirst();
    // Another request used it meanwhile.
    if (!used) throw linkExpired();
    await storePassword(transaction, user.id, hash);
    await record(transaction, user);
    return user;
  });
}

function linkExpired(): AirlockError {
  return new AirlockError("this link was used or has expired", {
    code: "link-expired",
    hint: "Ask an administrator for a new one.",
  });
}

function digest(token: string): Buffer {
  return createHash("sha256").update(token).digest();
}
