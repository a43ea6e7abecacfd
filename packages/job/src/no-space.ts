/** ENOSPC and EDQUOT of the operating system, and 53100 (disk_full) of PostgreSQL. */
const codes: ReadonlySet<unknown> = new Set(["ENOSPC", "EDQUOT", "53100"]);

/** SQLITE_FULL. */
const sqliteFull = 13;

/** Whether the error or one of its causes is that a disk or a quota is full. */
export function isNoSpace(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  if ("code" in error && codes.has(error.code)) return true;
  if ("errcode" in error && error.errcode === sqliteFull) return true;
  return isNoSpace(error.cause);
}

/** Whether a program's message says that a disk or a quota is full. */
export function saysNoSpace(words: string): boolean {
  return /No space left on device|Disk quota exceeded|disk is full/i.test(words);
}
