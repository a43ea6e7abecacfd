import { AirlockError } from "@airlock/job";
import { sql } from "kysely";
import { type AuditSource, recordAudit } from "../audit/audit-log.ts";
import type { Database } from "../store/database.ts";
import { inTransaction } from "../store/in-transaction.ts";
import type { Schema } from "../store/schema.ts";
import { lookOf } from "./similar-names.ts";

/** Class of the advisory lock, distinct from those of other parts. */
const nameLock = 415_219;

/**
 * Takes a name for a new user or organization. Call it in the transaction that stores them.
 * @throws {AirlockError} `name-taken`: another namespace has this name, or one that looks the same.
 */
export async function takeName(
  transaction: Database,
  {
    name,
    kind,
    displayName,
  }: { readonly name: string; readonly kind: Schema["namespaces"]["kind"]; readonly displayName: string },
): Promise<void> {
  // Names that look the same have no constraint: namespaces of earlier versions may have such names.
  await sql`select pg_advisory_xact_lock(${nameLock}, 0)`.execute(transaction);
  const { rows } = await sql<{ name: string }>`
    select name from namespaces where ${lookInSql("name")} = ${lookOf(name)} order by name <> ${name} limit 1`.execute(
    transaction,
  );
  const [other] = rows;
  if (other) throw nameTaken(name, other.name);
  await transaction.insertInto("namespaces").values({ name, kind, display_name: displayName }).execute();
}

/** The same as `lookOf`. */
function lookInSql(column: string) {
  const ref = sql.ref(column);
  return sql`replace(replace(translate(${ref}, '01', 'ol'), 'rn', 'm'), 'vv', 'w')`;
}

function nameTaken(name: string, other: string): AirlockError {
  return new AirlockError(
    name === other ? `the name "${name}" is taken` : `the name "${name}" is too similar to the name of another account`,
    { code: "name-taken", hint: "Users and organizations share one set of names. Choose another one." },
  );
}

/** Makes the namespaces exist that administrators use. */
export class KnownNamespaces {
  readonly #db: Database;

  constructor(db: Database) {
    this.#db = db;
  }

  /**
   * Makes a new namespace an organization. Only for administrators: with the administrator's token, any namespace could
   * always be used without being created first.
   * @throws {AirlockError} `unknown-namespace`: the organization was deleted.
   */
  async ensure(name: string, by: AuditSource): Promise<void> {
    const found = await this.#db
      .selectFrom("namespaces")
      .select("deleted_at")
      .where("name", "=", name)
      .executeTakeFirst();
    if (found && found.deleted_at !== null) {
      throw new AirlockError(`the organization "${name}" was deleted`, {
        code: "unknown-namespace",
        hint: "Use another namespace. The name of a deleted organization can't be used again.",
      });
    }
    if (found) return;
    await inTransaction(this.#db, async (transaction) => {
      const created = await transaction
        .insertInto("namespaces")
        .values({ name, kind: "organization" })
        .onConflict((conflict) => conflict.doNothing())
        .returning("name")
        .executeTakeFirst();
      if (!created) return;
      const target = { kind: "organization", name };
      await recordAudit(transaction, by, [{ action: "organization.created", namespace: name, target }]);
    });
  }
}
