import { createDatabase, describeWithEngines, engines, type TestDatabase } from "@airlock/test-kit";
import { sql } from "kysely";
import { afterAll, beforeAll, expect, it } from "vitest";
import { type Database, openDatabase } from "./database.ts";
import { executePrepared } from "./prepared-statements.ts";

describeWithEngines(["postgres"], "a prepared statement", () => {
  let database: TestDatabase;
  let db: Database;
  beforeAll(async () => {
    database = await createDatabase(engines().postgres?.url ?? "");
    // Use one connection, so that the test can query its prepared statements.
    db = await openDatabase({ url: database.url, maxConnections: 1 });
  });
  afterAll(async () => {
    await db?.destroy();
    await database?.[Symbol.asyncDispose]();
  });

  const double = (value: number) => sql<{ doubled: number }>`select ${value}::int * 2 as doubled`;
  const prepared = async () =>
    (await sql<{ name: string }>`select name from pg_prepared_statements order by name`.execute(db)).rows;

  it("is prepared once per connection and accepts different inputs", async () => {
    const first = await executePrepared("test-double", double(21), db);
    const second = await executePrepared("test-double", double(4), db);

    expect([first.rows, second.rows]).toEqual([[{ doubled: 42 }], [{ doubled: 8 }]]);
    expect(await prepared()).toEqual([{ name: "test-double" }]);
  });

  it("works inside a transaction", async () => {
    const { rows } = await db
      .transaction()
      .execute((transaction) => executePrepared("test-double", double(5), transaction));

    expect(rows).toEqual([{ doubled: 10 }]);
  });

  it("can't have a second text under the same name", async () => {
    await expect(executePrepared("test-double", sql`select 1`, db)).rejects.toThrow(
      'the prepared statement "test-double" has two texts',
    );
  });

  it("can't be created from a comment in the text", async () => {
    await sql`/* prepared: test-comment */ select ${1}::int`.execute(db);

    expect(await prepared()).toEqual([{ name: "test-double" }]);
  });
});
