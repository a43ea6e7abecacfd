import { type IdentityView, NewNamespace } from "@airlock/api";
import { AirlockError } from "@airlock/job";
import { sql } from "kysely";
import { type AuditSource, recordAudit } from "../audit/audit-log.ts";
import type { Database } from "../store/database.ts";
import { inTransaction } from "../store/in-transaction.ts";
import { takeName } from "./namespaces.ts";
import type { Account } from "./passwords.ts";

/** Class of the advisory lock, distinct from those of other parts. */
const identityLock = 415_221;

/** An account of an OpenID Connect provider. Nothing else of the provider identifies a person, also not an e-mail address. */
export interface Identity {
  readonly issuer: string;
  readonly subject: string;
}

export interface LinkTo {
  readonly user: number;
  readonly session: number;
}

export interface NewUserOf {
  /** The name that the provider has for the person; `null`: none. */
  readonly name: string | null;
  readonly displayName: string;
}

/**
 * The user that an identity belongs to. If none does, links it to the user who asked for that, or creates a user.
 * @param options.create `null`: people without an account stay out.
 * @throws {AirlockError} `sign-in-refused`, `identity-taken`.
 */
export async function userOfIdentity(
  transaction: Database,
  identity: Identity,
  {
    linkTo,
    create,
    by,
  }: {
    /** A user who asked for it, in a session that must not have ended since. */
    readonly linkTo: LinkTo | null;
    readonly create: NewUserOf | null;
    readonly by: (name: string) => AuditSource;
  },
): Promise<Account> {
  // Of two tabs of a new person, the second finds the account of the first.
  await sql`select pg_advisory_xact_lock(${identityLock}, hashtext(${`${identity.issuer} ${identity.subject}`}))`.execute(
    transaction,
  );
  const known = await transaction
    .selectFrom("identities")
    .innerJoin("users", "users.id", "identities.user_id")
    .select(["users.id", "users.name", "users.disabled_at", "identities.id as identity"])
    .where("issuer", "=", identity.issuer)
    .where("subject", "=", identity.subject)
    .executeTakeFirst();
  if (known) {
    if (linkTo !== null && known.id !== linkTo.user) throw identityTaken();
    if (known.disabled_at !== null) throw disabled();
    await sql`update identities set last_used_at = airlock_now() where id = ${known.identity}`.execute(transaction);
    return { id: known.id, name: known.name };
  }
  const user = linkTo === null ? await createUserOf(transaction, create, by) : await userToLink(transaction, linkTo);
  await link(transaction, user, identity, by(user.name));
  return user;
}

async function userToLink(transaction: Database, { user, session }: LinkTo): Promise<Account> {
  const found = await transaction
    .selectFrom("user_sessions")
    .innerJoin("users", "users.id", "user_sessions.user_id")
    .select(["users.id", "users.name"])
    .where("user_sessions.id", "=", session)
    .where("users.id", "=", user)
    .where("users.disabled_at", "is", null)
    .executeTakeFirst();
  // Who copied a session must not keep a way in after its owner ended it.
  if (!found) {
    throw new AirlockError("the session that began this has ended", {
      code: "sign-in-refused",
      hint: "Sign in, and link the account again.",
    });
  }
  return found;
}

async function link(transaction: Database, user: Account, identity: Identity, by: AuditSource): Promise<void> {
  const { issuer, subject } = identity;
  const other = await transaction
    .selectFrom("identities")
    .select("id")
    .where("user_id", "=", user.id)
    .where("issuer", "=", issuer)
    .executeTakeFirst();
  if (other) {
    throw new AirlockError(`"${user.name}" is linked to another account of the provider`, {
      code: "identity-taken",
      hint: "Ask an administrator to change the link.",
    });
  }
  await transaction
    .insertInto("identities")
    .values({ issuer, subject, user_id: user.id, last_used_at: null })
    .execute();
  const target = { kind: "user", name: user.name };
  await recordAudit(transaction, by, [
    { action: "identity.linked", namespace: user.name, target, details: { issuer, subject } },
  ]);
}

async function createUserOf(
  transaction: Database,
  create: NewUserOf | null,
  by: (name: string) => AuditSource,
): Promise<Account> {
  if (create === null) {
    throw new AirlockError("you have no account on this instance", {
      code: "sign-in-refused",
      hint: "Ask an administrator to create one, and to link it to your account of the provider.",
    });
  }
  const name = toName(create.name ?? "");
  const checked = NewNamespace.safeParse(name);
  if (!checked.success) {
    throw new AirlockError(`your name at the provider can't be a name here: "${(create.name ?? "").slice(0, 100)}"`, {
      code: "sign-in-refused",
      hint: "Ask an administrator to create an account, and to link it to your account of the provider.",
    });
  }
  const { displayName } = create;
  await takeName(transaction, { name, kind: "user", displayName }).catch((error: unknown) => {
    if (!(error instanceof AirlockError) || error.code !== "name-taken") throw error;
    // A name proves nothing: the person at the provider may be somebody else.
    throw new AirlockError(`${error.message}, and is not linked to your account of the provider`, {
      code: "sign-in-refused",
      hint:
        "If it is yours, sign in with its password and link it on the page of your account. Otherwise ask an " +
        "administrator.",
      cause: error,
    });
  });
  const user = await transaction
    .insertInto("users")
    .values({ name, role: "member", password: null, disabled_at: null })
    .returning(["id", "name"])
    .executeTakeFirstOrThrow();
  const target = { kind: "user", name };
  await recordAudit(transaction, by(name), [
    { action: "user.created", namespace: name, target, details: { role: "member" } },
  ]);
  return user;
}

/** Names at providers often have upper case, dots, or the form of an e-mail address. */
function toName(text: string): string {
  return (text.split("@")[0] ?? "").toLowerCase().replace(/[._ ]+/g, "-");
}

function disabled(): AirlockError {
  return new AirlockError("your account on this instance is disabled", {
    code: "sign-in-refused",
    hint: "Ask an administrator of the instance.",
  });
}

function identityTaken(): AirlockError {
  return new AirlockError("this account of the provider is linked to another user", {
    code: "identity-taken",
    hint: "Sign out at the provider to use another one, or ask an administrator.",
  });
}

export async function listIdentities(db: Database, userId: number): Promise<IdentityView[]> {
  const rows = await db.selectFrom("identities").selectAll().where("user_id", "=", userId).orderBy("id").execute();
  return rows.map((row) => ({
    issuer: row.issuer,
    subject: row.subject,
    createdAt: row.created_at.toISOString(),
    lastUsedAt: row.last_used_at?.toISOString() ?? null,
  }));
}

/**
 * Links a user to one account of a provider, and to no other.
 * @param subject `null`: to none. All sessions of the user end.
 * @throws {AirlockError} `not-found`, `identity-taken`.
 */
export async function setIdentity(
  db: Database,
  name: string,
  { issuer, subject, by }: { readonly issuer: string; readonly subject: string | null; readonly by: AuditSource },
): Promise<void> {
  await inTransaction(db, async (transaction) => {
    const user = await transaction
      .selectFrom("users")
      .select(["id", "name"])
      .where("name", "=", name)
      .executeTakeFirst();
    if (!user) throw new AirlockError(`no user named "${name}"`, { code: "not-found" });
    const removed = await transaction
      .deleteFrom("identities")
      .where("user_id", "=", user.id)
      .where("issuer", "=", issuer)
      .returning("subject")
      .execute();
    const target = { kind: "user", name };
    for (const old of removed) {
      const details = { issuer, subject: old.subject };
      await recordAudit(transaction, by, [{ action: "identity.unlinked", namespace: name, target, details }]);
    }
    await sql`delete from user_sessions where user_id = ${user.id}`.execute(transaction);
    if (subject === null) return;
    const other = await transaction
      .selectFrom("identities")
      .select("id")
      .where("issuer", "=", issuer)
      .where("subject", "=", subject)
      .executeTakeFirst();
    if (other) throw identityTaken();
    await link(transaction, user, { issuer, subject }, by);
  });
}
