import { AirlockError } from "@airlock/job";
import { sql } from "kysely";
import type { Database } from "../store/database.ts";
import { inTransaction } from "../store/in-transaction.ts";
import { unknownRepository } from "./repository-rows.ts";

/** The organizations that see a repository; `null`: everyone. Nobody sees a repository that doesn't exist. */
export async function namespacesThatSee(db: Database, name: string): Promise<readonly string[] | null> {
  return (await visibilities(db, [name])).get(name) ?? [];
}

/** For each repository, a row of its visibility; `null`: everyone sees it. Unknown names are missing. */
export async function visibilities(
  db: Database,
  names: readonly string[] | null,
): Promise<ReadonlyMap<string, readonly string[] | null>> {
  const { rows } = await sql<{ name: string; organizations: string[] | null }>`
    select name, case when visible_to_everyone then null else
      array(select organization from repository_organizations where repository = name order by organization) end
      as organizations
    from repositories where ${names}::text[] is null or name = any(${names}::text[])`.execute(db);
  return new Map(rows.map(({ name, organizations }) => [name, organizations]));
}

/**
 * @param organizations `null`: everyone.
 * @throws {AirlockError} `unknown-repository`, `unknown-namespace`.
 */
export async function setVisibility(
  db: Database,
  name: string,
  organizations: readonly string[] | null,
): Promise<void> {
  await inTransaction(db, async (transaction) => {
    const row = await transaction
      .updateTable("repositories")
      .set({ visible_to_everyone: organizations === null })
      .where("name", "=", name)
      .returning("name")
      .executeTakeFirst();
    if (!row) throw unknownRepository(name);
    await transaction.deleteFrom("repository_organizations").where("repository", "=", name).execute();
    for (const organization of new Set(organizations)) {
      const known = await transaction
        .selectFrom("namespaces")
        .select("name")
        .where("name", "=", organization)
        .where("kind", "=", "organization")
        .executeTakeFirst();
      if (!known) {
        throw new AirlockError(`no organization named "${organization}"`, {
          code: "unknown-namespace",
          hint: "List the organizations with GET /api/v1/organizations.",
        });
      }
      await transaction.insertInto("repository_organizations").values({ repository: name, organization }).execute();
    }
  });
}
