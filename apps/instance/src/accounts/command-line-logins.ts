import { createHash, randomBytes } from "node:crypto";
import { type AccessTokenView, type CommandLineLoginView, shortCodeAlphabet, shownCode } from "@airlock/api";
import { AirlockError } from "@airlock/job";
import { sql } from "kysely";
import type { Database } from "../store/database.ts";
import { createAccessToken, type NewAccessToken } from "./access-tokens.ts";
import { networkOf } from "./sign-in-limits.ts";

const lifetimeMs = 10 * 60_000;
/** Logins that one network may begin within a lifetime. They need no credentials. */
const maxOfNetwork = 20;
/** Limit for all networks together, so that a sender with many addresses can't fill the disk. */
const maxOpen = 10_000;
/** Guesses of a confirmation code, of which there are 28⁸. */
const maxTries = 5;

export interface BegunLogin {
  readonly secret: string;
  readonly code: string;
  readonly expiresAt: Date;
}

/** @throws {AirlockError} `too-many-attempts`. */
export async function beginLogin(db: Database, host: string, address: string): Promise<BegunLogin> {
  const network = networkOf(address);
  const secret = randomBytes(32).toString("base64url");
  const code = newCode();
  const expiresAt = new Date(Date.now() + lifetimeMs);
  await forgetLogins(db);
  const { id } = await db
    .insertInto("command_line_logins")
    .values({ secret_sha256: digest(secret), code, host, address, network, expires_at: expiresAt })
    .returning("id")
    .executeTakeFirstOrThrow();
  // Counted after the insertion, so that requests at the same time can't exceed a limit together.
  const { rows } = await sql<{ network: number; all: number }>`
    select count(*) filter (where network = ${network})::int as network, count(*)::int as all
    from command_line_logins`.execute(db);
  const [open] = rows;
  if (open && open.network <= maxOfNetwork && open.all <= maxOpen) return { secret, code: shownCode(code), expiresAt };
  await db.deleteFrom("command_line_logins").where("id", "=", id).execute();
  throw new AirlockError("too many logins of command lines were begun", {
    code: "too-many-attempts",
    hint: "Wait ten minutes. Or create a token on the account page, and use `airlock login --token`.",
  });
}

/** A login that waits for somebody to confirm it. @throws {AirlockError} `login-ended`. */
export async function openLogin(db: Database, code: string): Promise<CommandLineLoginView> {
  const row = await db
    .selectFrom("command_line_logins")
    .select(["code", "host", "address", "created_at", "expires_at"])
    .where("code", "=", code)
    .where("session_id", "is", null)
    .where("expires_at", ">", new Date())
    .executeTakeFirst();
  if (!row) throw loginEnded();
  return {
    code: shownCode(row.code),
    host: row.host,
    address: row.address,
    createdAt: row.created_at.toISOString(),
    expiresAt: row.expires_at.toISOString(),
  };
}

/**
 * Allows the command line to get a token, once it has the code that this returns.
 * @throws {AirlockError} `login-ended`.
 */
export async function confirmLogin(
  db: Database,
  code: string,
  session: number,
  { name, scopes, expiresAt }: NewAccessToken,
): Promise<{ readonly confirmationCode: string; readonly expiresAt: Date }> {
  const confirmation = newCode();
  const row = await db
    .updateTable("command_line_logins")
    .set({
      session_id: session,
      confirmation_sha256: digest(confirmation),
      token_name: name,
      token_scopes: [...scopes],
      token_expires_at: expiresAt === null ? null : new Date(expiresAt),
    })
    .where("code", "=", code)
    .where("session_id", "is", null)
    .where("expires_at", ">", new Date())
    .returning("expires_at")
    .executeTakeFirst();
  if (!row) throw loginEnded();
  return { confirmationCode: shownCode(confirmation), expiresAt: row.expires_at };
}

/** Returns whether there was such a login, which then ends. */
export async function refuseLogin(db: Database, code: string): Promise<boolean> {
  const row = await db
    .deleteFrom("command_line_logins")
    .where("code", "=", code)
    .where("session_id", "is", null)
    .returning("id")
    .executeTakeFirst();
  return row !== undefined;
}

/**
 * Counts a guess, before anything tells whether it is right.
 * @throws {AirlockError} `login-ended`.
 */
export async function countTry(db: Database, secret: string): Promise<{ readonly left: number }> {
  const row = await db
    .updateTable("command_line_logins")
    .set((value) => ({ tries: value("tries", "+", 1) }))
    .where("secret_sha256", "=", digest(secret))
    .where("expires_at", ">", new Date())
    .where("tries", "<", maxTries)
    .returning("tries")
    .executeTakeFirst();
  if (!row) throw loginEnded();
  return { left: maxTries - row.tries };
}

export type LoginToken = AccessTokenView & {
  readonly token: string;
  readonly user: string;
  readonly session: number;
};

/**
 * Creates the token of a confirmed login, which ends with it. `null`: the code is wrong, or nobody confirmed.
 * @throws {AirlockError} `too-many-tokens`.
 */
export async function finishLogin(db: Database, secret: string, confirmation: string): Promise<LoginToken | null> {
  const { rows } = await sql<{
    user_id: number;
    user: string;
    session: number;
    name: string;
    scopes: NewAccessToken["scopes"];
    expires_at: Date | null;
  }>`
    delete from command_line_logins logins using user_sessions sessions, users
    where logins.secret_sha256 = ${digest(secret)} and logins.confirmation_sha256 = ${digest(confirmation)}
      and logins.expires_at > now() and sessions.id = logins.session_id and sessions.expires_at > now()
      and users.id = sessions.user_id and users.disabled_at is null
    returning users.id as user_id, users.name as user, sessions.id as session, token_name as name,
      token_scopes as scopes, token_expires_at as expires_at`.execute(db);
  const [row] = rows;
  if (!row) return null;
  const { name, scopes, expires_at } = row;
  const token = await createAccessToken(db, row.user_id, {
    name,
    scopes,
    expiresAt: expires_at?.toISOString() ?? null,
  });
  return { ...token, user: row.user, session: row.session };
}

export async function forgetLogins(db: Database): Promise<void> {
  await sql`delete from command_line_logins where expires_at <= now()`.execute(db);
}

export function loginEnded(): AirlockError {
  return new AirlockError("no such login of a command line", {
    code: "login-ended",
    hint: "It was finished, refused, or took longer than ten minutes. Start `airlock login` again.",
  });
}

function digest(text: string): Buffer {
  return createHash("sha256").update(text).digest();
}

function newCode(): string {
  const { length } = shortCodeAlphabet;
  let code = "";
  while (code.length < 8) {
    for (const byte of randomBytes(16)) {
      // Bytes beyond the last whole multiple would make some characters more likely.
      if (byte < 256 - (256 % length) && code.length < 8) code += shortCodeAlphabet[byte % length];
    }
  }
  return code;
}
