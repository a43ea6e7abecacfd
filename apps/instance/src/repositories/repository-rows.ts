import { AirlockError, hideAddressCredentials } from "@airlock/job";
import { sql } from "kysely";
import { requireRegisteredKey } from "../sealing/open-keyring.ts";
import type { Sealer } from "../sealing/sealer.ts";
import type { Database } from "../store/database.ts";
import type { RepositorySource } from "./repository-url.ts";
import { sealedAddress } from "./seal-repositories.ts";

/** Namespace of the advisory locks, apart from those that other parts take. */
const addLock = 415_212;

export interface NewRepository {
  /** The first one that is free is taken. */
  readonly names: readonly string[];
  /** The name that the user chose; `undefined`: any name that the URL has already will do. */
  readonly givenName: string | undefined;
  readonly source: RepositorySource;
}

/** @throws {AirlockError} `repository-exists`, `secret-key-mismatch`. */
export async function storeRepository(
  { db, sealer }: { readonly db: Database; readonly sealer: Sealer },
  { names, givenName, source }: NewRepository,
): Promise<{ name: string }> {
  return db.transaction().execute(async (transaction) => {
    // A URL has one name, which no constraint can say where parts of URLs are encrypted.
    await sql`select pg_advisory_xact_lock(${addLock}, hashtext(${source.displayUrl}))`.execute(transaction);
    const known = await transaction
      .selectFrom("repositories")
      .select("name")
      .where("url", "=", source.displayUrl)
      .orderBy("name")
      .execute();
    const same = known.find((row) => givenName === undefined || row.name === givenName);
    if (source.url !== source.displayUrl) await requireRegisteredKey(transaction, sealer.keyId);
    if (same) {
      const address = sealedAddress(sealer, same.name, source);
      // One without credentials in it leaves those that are there.
      if (address.sealed_url) {
        await transaction.updateTable("repositories").set(address).where("name", "=", same.name).execute();
      }
      return same;
    }
    const [other] = known;
    if (other) {
      throw new AirlockError(`${source.displayUrl} is known already, as "${other.name}"`, {
        code: "repository-exists",
        hint: `Use that name, or remove it with DELETE /api/v1/repositories/${encodeURIComponent(other.name)} first.`,
      });
    }
    for (const name of names) {
      const added = await transaction
        .insertInto("repositories")
        .values({ name, ...sealedAddress(sealer, name, source) })
        .onConflict((conflict) => conflict.doNothing())
        .returning("name")
        .executeTakeFirst();
      if (added) return added;
    }
    throw new AirlockError(`another repository is named "${names.at(-1)}"`, {
      code: "repository-exists",
      hint: "Choose another name: `airlock repo add URL --name NAME`, or the name in the form of the web UI.",
    });
  });
}

/**
 * Deletes a repository that no open job needs. The lock keeps jobs from being enqueued meanwhile: `enqueueJob` locks the
 * same row.
 * @throws {AirlockError} `unknown-repository`, `repository-in-use`.
 */
export async function deleteRepositoryRow(db: Database, name: string): Promise<void> {
  await db.transaction().execute(async (transaction) => {
    const row = await transaction
      .selectFrom("repositories")
      .select("name")
      .where("name", "=", name)
      .forUpdate()
      .executeTakeFirst();
    if (!row) throw unknownRepository(name);
    const open = await transaction
      .selectFrom("jobs")
      .select("id")
      .where("repository", "=", name)
      .where("state", "in", ["queued", "processing"])
      .limit(1)
      .executeTakeFirst();
    if (open) {
      throw new AirlockError(`job ${open.id} still needs "${name}"`, {
        code: "repository-in-use",
        hint: "Cancel its jobs or wait for them.",
      });
    }
    await transaction.deleteFrom("repositories").where("name", "=", name).execute();
  });
}

export function unknownRepository(name: string): AirlockError {
  // Somebody may have given a URL with credentials in place of a name.
  return new AirlockError(`there is no repository "${hideAddressCredentials(name)}"`, {
    code: "unknown-repository",
    hint: "Add it with `airlock repo add URL`, or list what there is with `airlock repo list`.",
    reason: "checkout-invalid",
  });
}
