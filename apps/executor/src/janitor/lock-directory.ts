import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";

/**
 * Locks a directory until the result is closed. `null`: another process has locked it. SQLite uses the operating system's
 * lock on a file, which ends with the process in every case. The lock also holds between containers that share the
 * directory. Node has no other API for such locks.
 */
export function lockDirectory(dir: string): DatabaseSync | null {
  let database: DatabaseSync | undefined;
  try {
    database = new DatabaseSync(join(dir, "lock"), { timeout: 0 });
    database.exec("PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE");
    return database;
  } catch (cause) {
    database?.close();
    if (/locked/i.test(String(cause))) return null;
    throw cause;
  }
}
