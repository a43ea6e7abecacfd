import { randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import { AirlockError, errorMessage } from "@airlock/job";
import { sql } from "kysely";
import { writeFileAtomically } from "../files/write-file-atomically.ts";
import type { Database } from "../store/database.ts";
import { type Keyring, parseKeys } from "./keyring.ts";

/** Source of the keys; `null`: a file in the data directory, created on first use. */
export type KeySource =
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "file"; readonly file: string }
  | null;

export interface OpenKeyringOptions {
  readonly db: Database;
  readonly source: KeySource;
  /** Key file in the data directory. */
  readonly defaultFile: string;
}

// One instance at a time decides which keys this database uses.
const lockKey = 4_152_110_612;

/**
 * Reads the keys and checks that this database is encrypted with them. Nothing is encrypted before that, and a missing
 * key never causes data to be overwritten.
 * @throws {AirlockError} `secret-key-invalid`, `secret-key-missing`.
 */
export async function openKeyring({ db, source, defaultFile }: OpenKeyringOptions): Promise<Keyring> {
  return db.transaction().execute(async (transaction) => {
    await sql`select pg_advisory_xact_lock(${lockKey})`.execute(transaction);
    const { rows } = await sql<{ key_id: string; secrets: number; repositories: number }>`
      select key_id, sum(secrets)::int as secrets, sum(repositories)::int as repositories from (
        select key_id, 1 as secrets, 0 as repositories from secrets
        union all select key_id, 0, 1 from repositories where key_id is not null
      ) sealed group by key_id order by key_id`.execute(transaction);
    const keyring = source
      ? await readKeys(source)
      : await readOrCreateFile(defaultFile, { mayCreate: rows.length === 0 });
    for (const { key_id, secrets, repositories } of rows) {
      if (keyring?.get(key_id)) continue;
      const where = source ? "which is not among the configured keys" : `which is not in ${defaultFile}`;
      throw new AirlockError(
        `the database holds ${secrets} secrets and ${repositories} repository addresses under key ${key_id}, ${where}`,
        {
          code: "secret-key-missing",
          hint: "Set AIRLOCK_SECRET_KEY or AIRLOCK_SECRET_KEY_FILE to the keys of the instances on this database. Nothing is lost until then.",
        },
      );
    }
    if (!keyring) throw new Error("no keys, and nothing that needs one"); // In this case, the file was created above.
    // As long as nothing is encrypted, the last instance to start decides. Others with different keys fail at their
    // first encryption.
    if (rows.length === 0) {
      await transaction.deleteFrom("secret_keys").where("key_id", "not in", keyring.ids).execute();
    }
    await transaction
      .insertInto("secret_keys")
      .values({ key_id: keyring.primary.id })
      .onConflict((conflict) => conflict.doNothing())
      .execute();
    return keyring;
  });
}

/**
 * Checks, before something is encrypted, that other instances on this database accept the key.
 * @throws {AirlockError} `secret-key-mismatch`.
 */
export async function requireRegisteredKey(db: Database, keyId: string): Promise<void> {
  const row = await db.selectFrom("secret_keys").select("key_id").where("key_id", "=", keyId).executeTakeFirst();
  if (row) return;
  throw new AirlockError("another instance on this database uses another key", {
    code: "secret-key-mismatch",
    hint: "Give all instances the same AIRLOCK_SECRET_KEY or AIRLOCK_SECRET_KEY_FILE, and start them again.",
  });
}

async function readKeys(source: NonNullable<KeySource>): Promise<Keyring> {
  if (source.kind === "text") return parseKeys(source.text, "AIRLOCK_SECRET_KEY");
  try {
    return parseKeys(await readFile(source.file, "utf8"), source.file);
  } catch (cause) {
    if (cause instanceof AirlockError) throw cause;
    throw new AirlockError(`cannot read ${source.file}: ${errorMessage(cause)}`, {
      code: "secret-key-invalid",
      hint: "Set AIRLOCK_SECRET_KEY_FILE to a file with the keys that the instance's user can read.",
      cause,
    });
  }
}

async function readOrCreateFile(
  file: string,
  { mayCreate }: { readonly mayCreate: boolean },
): Promise<Keyring | undefined> {
  let text = await readFile(file, "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return null;
    throw error;
  });
  if (text === null) {
    if (!mayCreate) return undefined;
    text = `# Encrypts this instance's secrets. Without it they are lost: keep a copy apart from the database's.\n${randomBytes(32).toString("base64")}\n`;
    await writeFileAtomically(file, text, 0o600);
  }
  return parseKeys(text, file);
}
