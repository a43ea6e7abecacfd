import { errorMessage } from "@airlock/job";
import pg from "pg";

/** A statement failed because the database is unreachable or the connection to it broke. */
export class DatabaseAwayError extends Error {
  override readonly name = "DatabaseAwayError";

  constructor(cause: unknown) {
    super(errorMessage(cause), { cause });
  }
}

/**
 * SQLSTATEs of PostgreSQL: connection exceptions, too many connections, shutdown, crash, startup, and a server that
 * became a standby. 57014: the statement was canceled, for example to stop the workers of a killed server.
 */
const sqlStates = /^(?:08[0-9A-Z]{3}|25006|53300|57014|57P0[1-5])$/;

/** Whether the server refused the connection, ended it or canceled the statement with this error. */
export function endsConnection(error: unknown): boolean {
  return error instanceof pg.DatabaseError && (isFatal(error) || sqlStates.test(error.code ?? ""));
}

/** PostgreSQL closes the connection after such an error. The severity may be in the server's language. */
function isFatal({ severity }: pg.DatabaseError): boolean {
  return severity === "FATAL" || severity === "PANIC";
}

/**
 * Whether a statement failed because the database is unreachable, so that the same request may succeed later. This
 * depends on where the error came from, not on its text: see {@link PreparingClient}.
 */
export function isDatabaseAway(error: unknown): boolean {
  return error instanceof DatabaseAwayError || endsConnection(error);
}
