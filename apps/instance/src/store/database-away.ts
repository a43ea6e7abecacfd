/** SQLSTATEs of PostgreSQL: connection exceptions, too many connections, shutdown, crash, startup. */
const sqlStates = /^(?:08[0-9A-Z]{3}|53300|57P0[1-5])$/;
/** System error codes: no server, a broken or missing socket, no route, an unknown host. */
const systemCodes: ReadonlySet<string> = new Set([
  "ECONNABORTED",
  "ECONNREFUSED",
  "ECONNRESET",
  "EAI_AGAIN",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "ENOENT",
  "ENOTFOUND",
  "EPIPE",
  "ETIMEDOUT",
]);
/** `pg` gives these errors no code. */
const messages =
  /^(?:Connection terminated|Client (?:has encountered a connection error|was closed)|timeout exceeded when trying to connect)/;

/** Whether a statement failed because the database is unreachable, so that the same request may succeed later. */
export function isDatabaseAway(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  if (error instanceof AggregateError && error.errors.some(isDatabaseAway)) return true;
  const { code, syscall } = error as NodeJS.ErrnoException;
  if (typeof code !== "string") return messages.test(error.message);
  // ENOENT may also mean a missing file. A failed connection is an error of one of these calls.
  if (systemCodes.has(code)) return syscall === undefined || /^(?:connect|read|write|getaddrinfo)$/.test(syscall);
  return sqlStates.test(code);
}
