import { setTimeout as delay } from "node:timers/promises";
import { sql } from "kysely";
import { type Database, openDatabase } from "../store/database.ts";

/** The database's clock under a test's control. All decisions about leases use it. */
export interface TestClock extends AsyncDisposable {
  readonly db: Database;
  /** Moves the clock for all users of this database; a negative number moves it backwards. */
  moveBy(ms: number): Promise<void>;
}

/**
 * An instance's first sweep renews all leases, because it missed earlier heartbeats. Move the clock only after that.
 */
const firstRoundMs = 1000;

/** For the database of an instance that was just started. */
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
