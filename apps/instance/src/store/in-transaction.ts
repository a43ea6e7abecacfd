import type { Database } from "./database.ts";

/** Runs the work in the caller's transaction, or in a new one. */
export async function inTransaction<T>(db: Database, work: (transaction: Database) => Promise<T>): Promise<T> {
  return db.isTransaction ? work(db) : db.transaction().execute(work);
}
