import { readFile } from "node:fs/promises";
import { createDatabase, describeWithEngines, engines } from "@airlock/test-kit";
import { sql } from "kysely";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { type Database, openDatabase } from "./database.ts";
import { isDatabaseAway } from "./database-away.ts";
import { DatabasePool } from "./preparing-client.ts";

const failureOf = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => expect.fail("it did not fail"),
    (error: unknown) => error,
  );

describe("isDatabaseAway", () => {
  it.each([
    ["nothing listens", "postgres://x:y@127.0.0.1:9/z"],
    ["the socket is gone", "postgres://x@/z?host=/nonexistent"],
    ["the host name is unknown", "postgres://x:y@nowhere.invalid/z"],
  ])("is true when %s", async (_title, connectionString) => {
    const pool = new DatabasePool({ connectionString });
    expect(isDatabaseAway(await failureOf(pool.connect()))).toBe(true);
    await pool.end();
  });

  it("is false for a missing file or a programming error", async () => {
    expect(isDatabaseAway(await failureOf(readFile("/nonexistent")))).toBe(false);
    expect(isDatabaseAway(new TypeError("x is not a function"))).toBe(false);
    expect(isDatabaseAway("Connection terminated")).toBe(false);
  });
});

describeWithEngines(["postgres"], "isDatabaseAway for failed statements", () => {
  const suite = new AsyncDisposableStack();
  let db: Database;
  let other: pg.Client;
  beforeAll(async () => {
    const database = suite.use(await createDatabase(engines().postgres?.url ?? ""));
    db = await openDatabase({ url: database.url, maxConnections: 2 });
    suite.defer(() => db.destroy());
    other = new pg.Client({ connectionString: database.url });
    await other.connect();
    suite.defer(() => other.end());
  });
  afterAll(() => suite.disposeAsync());

  const pidOf = async (connection: Database): Promise<number> => {
    const { rows } = await sql<{ pid: number }>`select pg_backend_pid() as pid`.execute(connection);
    return rows[0]?.pid ?? 0;
  };

  /** A signal between two statements would stop neither. */
  const untilSleeping = async (pid: number): Promise<void> => {
    const activity = "select 1 from pg_stat_activity where pid = $1 and wait_event = 'PgSleep'";
    await vi.waitFor(async () => expect((await other.query(activity, [pid])).rowCount).toBe(1));
  };

  it("is false for a statement that the database refuses", async () => {
    for (const statement of [sql`select 1 / 0`, sql`select none`, sql`select ${1n << 70n}::bigint`]) {
      expect(isDatabaseAway(await failureOf(statement.execute(db)))).toBe(false);
    }
  });

  it.each(["cancel", "terminate"])(
    "is true for a statement whose database worker gets a signal to %s",
    async (signal) => {
      const failed = failureOf(
        db.connection().execute(async (connection) => {
          const pid = await pidOf(connection);
          const stop = async () => {
            await untilSleeping(pid);
            await other.query(`select pg_${signal}_backend($1)`, [pid]);
          };
          await Promise.all([sql`select pg_sleep(60)`.execute(connection), stop()]);
        }),
      );
      expect(isDatabaseAway(await failed)).toBe(true);
    },
  );

  it("is true for a connection that broke between or after the statements of a transaction", async () => {
    for (const statements of [1, 2]) {
      const failed = failureOf(
        db.transaction().execute(async (transaction) => {
          await other.query("select pg_terminate_backend($1)", [await pidOf(transaction)]);
          if (statements === 2) await sql`select 1`.execute(transaction);
        }),
      );
      expect(isDatabaseAway(await failed)).toBe(true);
    }
  });
});
