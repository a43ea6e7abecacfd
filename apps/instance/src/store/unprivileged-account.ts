import { readFile, stat } from "node:fs/promises";
import path from "node:path";
import { AirlockError } from "@airlock/job";

export interface Account {
  readonly uid: number;
  readonly gid: number;
}

/**
 * The account for PostgreSQL, which refuses to run as root. `null`: this process isn't root, so its own account is
 * used.
 */
export async function accountForPostgres(dataDirectory: string): Promise<Account | null> {
  if (process.getuid?.() !== 0) return null;
  // Use the owner of existing files: the account must not change when others appear later.
  const owner = await stat(dataDirectory).catch(() => null);
  if (owner && owner.uid !== 0) return { uid: owner.uid, gid: owner.gid };
  const accounts = await readFile("/etc/passwd", "utf8");
  for (const name of ["postgres", "nobody"]) {
    const fields = accounts
      .split("\n")
      .find((line) => line.startsWith(`${name}:`))
      ?.split(":");
    if (fields) return { uid: Number(fields[2]), gid: Number(fields[3]) };
  }
  throw new AirlockError("PostgreSQL does not run as root, and there is neither a postgres nor a nobody account", {
    code: "no-unprivileged-account",
    hint: "Start Airlock as an ordinary user, or set AIRLOCK_DATABASE_URL.",
  });
}

/** Whether the account may enter this directory and all its parents. */
export async function canReach(account: Account, directory: string): Promise<boolean> {
  for (let current = path.resolve(directory); ; current = path.dirname(current)) {
    const { mode, uid, gid } = await stat(current);
    const bit = uid === account.uid ? 0o100 : gid === account.gid ? 0o010 : 0o001;
    if ((mode & bit) === 0) return false;
    if (current === path.dirname(current)) return true;
  }
}
