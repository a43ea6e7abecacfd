import { AirlockError } from "@airlock/job";
import { sql } from "kysely";
import type { Database } from "../store/database.ts";
import { inTransaction } from "../store/in-transaction.ts";
import { noOrganization } from "./organizations.ts";

/** Jobs belong to it that are submitted with the administrator's token and name no namespace. */
const defaultOrganization = "default";

/**
 * Deletes an organization without jobs that have not ended and without secrets. Its members, its webhooks and
 * its access to repositories are removed. Finished jobs stay until their retention ends, for administrators. The name stays taken.
 * @throws {AirlockError} `not-found`, `organization-in-use`.
 */
export async function deleteOrganization(db: Database, name: string): Promise<{ readonly members: number }> {
  return inTransaction(db, async (transaction) => {
    const row = await transaction
      .selectFrom("namespaces")
      .select("name")
      .where("name", "=", name)
      .where("kind", "=", "organization")
      .where("deleted_at", "is", null)
      .forUpdate()
      .executeTakeFirst();
    if (!row) throw noOrganization(name);
    await requireUnused(transaction, name);
    const members = await transaction.deleteFrom("memberships").where("organization", "=", name).executeTakeFirst();
    await transaction.deleteFrom("webhooks").where("namespace", "=", name).execute();
    await transaction.deleteFrom("repository_organizations").where("organization", "=", name).execute();
    await transaction.updateTable("namespaces").set({ deleted_at: new Date() }).where("name", "=", name).execute();
    return { members: Number(members.numDeletedRows) };
  });
}

async function requireUnused(transaction: Database, name: string): Promise<void> {
  if (name === defaultOrganization) {
    throw inUse(
      `"${name}" can't be deleted`,
      "Jobs that are submitted with the administrator's token and without a namespace belong to it.",
    );
  }
  const { rows } = await sql<{ jobs: number; secrets: number }>`
    select
      (select count(*)::int from jobs where namespace = ${name} and state in ('queued', 'processing')) as jobs,
      (select count(*)::int from secrets where namespace = ${name}) as secrets`.execute(transaction);
  const { jobs = 0, secrets = 0 } = rows[0] ?? {};
  if (jobs === 0 && secrets === 0) return;
  const parts = [
    ...(jobs > 0 ? [`${jobs} ${jobs === 1 ? "job that has" : "jobs that have"} not ended`] : []),
    ...(secrets > 0 ? [`${secrets} ${secrets === 1 ? "secret" : "secrets"}`] : []),
  ];
  throw inUse(
    `the organization "${name}" has ${parts.join(" and ")}`,
    "Cancel its jobs or wait until they end, and delete its secrets.",
  );
}

function inUse(message: string, hint: string): AirlockError {
  return new AirlockError(message, { code: "organization-in-use", hint });
}
