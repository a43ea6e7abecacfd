import { AirlockError, hideAddressCredentials } from "@airlock/job";
import { sql } from "kysely";
import { requireRegisteredKey } from "../sealing/open-keyring.ts";
import type { Sealer } from "../sealing/sealer.ts";
import type { Database } from "../store/database.ts";
import { inTransaction } from "../store/in-transaction.ts";
import type { RepositorySource } from "./repository-url.ts";
import { sealedAddress } from "./seal-repositories.ts";

/** Class of the advisory locks, distinct from those of other parts. */
const addLock = 415_212;

export interface NewRepository {
  /** Candidates. The first free one is used. */
  readonly names: readonly string[];
  /** The name that the user chose; `undefined`: any existing name for the URL is acceptable. */
  readonly givenName: string | undefined;
  readonly source: RepositorySource;
}

/** @throws {AirlockError} `repository-exists`, `secret-key-mismatch`. */
export async function storeRepository(
  { db, sealer }: { readonly db: Database; readonly sealer: Sealer },
  { names, givenName, source }: NewRepository,
): Promise<{ name: string }> {
  return inTransaction(db, async (transaction) => {
    // A URL has one name. A constraint can't ensure that, because parts of URLs are encrypted.
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
      // A URL without credentials doesn't remove the stored ones.
      if (address.sealed_url) {
        await transaction.updateTable("repositories").set(address).where("name", "=", same.name).execute();
      }
      return same;
    }
    const [other] = known;
    if (other) {
      throw new AirlockError(`${source.displayUrl} was already added, as "${other.name}"`, {
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
    throw new AirlockError(`another repository already has the name "${names.at(-1)}"`, {
      code: "repository-exists",
      hint: "Choose another name: `airlock repo add URL --name NAME`, or the name in the form of the web UI.",
    });
  });
}

/**
 * Deletes a repository that no open job needs. The row lock keeps jobs from being enqueued meanwhile, because
 * `enqueueJob` locks the same row.
 * @throws {AirlockError} `unknown-repository`, `repository-in-use`.
 */
export async function deleteRepositoryRow(db: Database, name: string): Promise<void> {
  await inTransaction(db, async (transaction) => {
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
        hint: "Cancel the jobs of this repository, or wait until they end.",
      });
    }
    await transaction.deleteFrom("repositories").where("name", "=", name).execute();
  });
}

export function unknownRepository(name: string): AirlockError {
  // The caller may have sent a URL with credentials instead of a name.
  return new AirlockError(`no repository named "${hideAddressCredentials(name)}"`, {
    code: "unknown-repository",
    hint: "Add it with `airlock repo add URL`, or list the repositories with `airlock repo list`.",
    reason: "checkout-invalid",
  });
}
