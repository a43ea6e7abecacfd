import { AirlockError } from "@airlock/job";
import type pg from "pg";
import { migrations } from "./migrations/index.ts";

// An arbitrary number, the same for all instances.
const lockKey = 4_152_110_611;

/**
 * Applies the missing migrations, each in its own transaction. Only one instance migrates at a time.
 * @throws {AirlockError} `database-too-new` when a newer Airlock has migrated this database.
 */
export async function migrate(client: pg.ClientBase): Promise<void> {
  await client.query("select pg_advisory_lock($1)", [lockKey]);
  try {
    await client.query(`create table if not exists airlock_migrations (
      id integer primary key, name text not null, applied_at timestamptz not null default now())`);
    const { rows } = await client.query<{ id: number }>("select id from airlock_migrations order by id");
    const applied = new Set(rows.map((row) => row.id));
    const newest = migrations.at(-1)?.id ?? 0;
    const foreign = rows.find((row) => row.id > newest);
    if (foreign) {
      throw new AirlockError(
        `the database has migration ${foreign.id}, but the newest one of this version of Airlock is ${newest}`,
        {
          code: "database-too-new",
          hint: "Start the version of Airlock that last used this database, or a newer one.",
        },
      );
    }
    for (const migration of migrations) {
      if (applied.has(migration.id)) continue;
      await client.query("begin");
      try {
        await client.query(migration.sql);
        await client.query("insert into airlock_migrations (id, name) values ($1, $2)", [migration.id, migration.name]);
        await client.query("commit");
      } catch (error) {
        await client.query("rollback");
        throw error;
      }
    }
  } finally {
    await client.query("select pg_advisory_unlock($1)", [lockKey]);
  }
}
