import { createHash } from "node:crypto";
import { isIPv6 } from "node:net";
import { AirlockError } from "@airlock/job";
import { sql } from "kysely";
import type { Database } from "../store/database.ts";

interface Limit {
  readonly attempts: number;
  readonly minutes: number;
}

/**
 * A stranger who guesses from one address uses up the limits of that address, and nobody else's. Many addresses can use
 * up the limit of an account. Then only browsers that signed in to the account before may still try.
 */
const limits = {
  /** One address, for one account. */
  pair: { attempts: 10, minutes: 15 },
  /** One address, for all accounts. */
  address: { attempts: 40, minutes: 15 },
  /** One account, from browsers that never signed in to it. */
  account: { attempts: 100, minutes: 60 },
  /** One account, from one browser that signed in to it before. */
  browser: { attempts: 10, minutes: 15 },
} as const satisfies Readonly<Record<string, Limit>>;

/** The longest of the limits. */
const keepMinutes = 60;

export interface Attempt {
  /** Gives the attempt back: it succeeded, or was refused before it could guess anything. */
  release(): Promise<void>;
}

export interface AttemptOf {
  readonly account: string;
  readonly address: string;
  /** Identifies a browser that signed in to this account before; `null`: none. */
  readonly browser: string | null;
}

/**
 * Counts an attempt before it is made, so that attempts at the same time can't exceed a limit together.
 * @throws {AirlockError} `too-many-attempts`.
 */
export async function countAttempt(db: Database, { account, address, browser }: AttemptOf): Promise<Attempt> {
  const network = networkOf(address);
  const counted: (readonly [keyof typeof limits, string])[] =
    browser === null
      ? [
          ["pair", `${account} ${network}`],
          ["address", network],
          ["account", account],
        ]
      : [["browser", `${account} ${browser}`]];
  const ids: number[] = [];
  const release = async () => {
    if (ids.length > 0) await db.deleteFrom("sign_in_attempts").where("id", "in", ids).execute();
  };
  for (const [kind, key] of counted) {
    const { attempts, minutes } = limits[kind];
    // Hashed: people type passwords into the field for the name.
    const bucket = createHash("sha256").update(`${kind} ${key}`).digest();
    const { id } = await db.insertInto("sign_in_attempts").values({ bucket }).returning("id").executeTakeFirstOrThrow();
    ids.push(id);
    const { rows } = await sql<{ count: number }>`
      select count(*)::int as count from sign_in_attempts
      where bucket = ${bucket} and at > now() - make_interval(mins => ${minutes}::int)`.execute(db);
    if ((rows[0]?.count ?? 0) <= attempts) continue;
    // Attempts that are refused here don't count. Otherwise a stranger could extend the wait without end.
    await release();
    throw new AirlockError("too many attempts to sign in", {
      code: "too-many-attempts",
      hint:
        `Wait up to ${minutes} minutes, use a browser that signed in before, or ask an administrator for a link to ` +
        "set a new password.",
    });
  }
  return { release };
}

/** An IPv6 host usually has a whole /64 network. */
export function networkOf(address: string): string {
  if (!isIPv6(address)) return address;
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1];
  if (mapped !== undefined) return mapped;
  const [head = "", tail] = (address.split("%")[0] ?? "").split("::");
  const left = head.split(":").filter((part) => part !== "");
  const right = (tail ?? "").split(":").filter((part) => part !== "");
  const zeros = tail === undefined ? 0 : 8 - left.length - right.length;
  const groups = [...left, ...Array<string>(Math.max(zeros, 0)).fill("0"), ...right];
  return groups
    .slice(0, 4)
    .map((group) => Number.parseInt(group, 16).toString(16))
    .join(":");
}

export async function forgetAttempts(db: Database): Promise<void> {
  await sql`delete from sign_in_attempts where at < now() - make_interval(mins => ${keepMinutes}::int)`.execute(db);
}
