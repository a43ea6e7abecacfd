import { setTimeout as delay } from "node:timers/promises";
import { sql } from "kysely";
import { type Database, openDatabase } from "../store/database.ts";

/** The database's clock, in the hands of a test. Everything that decides about leases reads it. */
export interface TestClock extends AsyncDisposable {
  readonly db: Database;
  /** Moves it for all that use this database; backwards with a negative number. */
  moveBy(ms: number): Promise<void>;
}

/** An instance renews all leases in its first round, for it has not heard the heartbeats before; then the clock may move. */
const firstRoundMs = 1000;

/** For a database of an instance that has just been started. */
export async function installTestClock(databaseUrl: string): Promise<TestClock> {
  const db = await openDatabase({ url: databaseUrl, maxConnections: 4 });
  await sql`create table test_clock (ahead interval not null)`.execute(db);
  await sql`insert into test_clock values (interval '0')`.execute(db);
  await sql`create or replace function airlock_now() returns timestamptz language sql stable
    as 'select now() + ahead from test_clock'`.execute(db);
  await delay(firstRoundMs);
  return {
    db,
    async moveBy(ms) {
      await sql`update test_clock set ahead = ahead + make_interval(secs => ${ms / 1000})`.execute(db);
    },
    [Symbol.asyncDispose]: () => db.destroy(),
  };
}
