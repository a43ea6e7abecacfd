import { AirlockError } from "@airlock/job";
import { sql } from "kysely";
import { requireRegisteredKey } from "../sealing/open-keyring.ts";
import type { SealContext, Sealer } from "../sealing/sealer.ts";
import type { Database } from "../store/database.ts";
import { parseRepositoryUrl, type RepositorySource } from "./repository-url.ts";

export function repositoryContext(name: string): SealContext {
  return ["repository", name];
}

/** How a URL is stored: without credentials, plus encrypted as a whole if it has any. */
export function sealedAddress(
  sealer: Sealer,
  name: string,
  source: { readonly url: string; readonly displayUrl: string },
): { readonly url: string; readonly sealed_url: Buffer | null; readonly key_id: string | null } {
  if (source.url === source.displayUrl) return { url: source.url, sealed_url: null, key_id: null };
  const { keyId, bytes } = sealer.seal(repositoryContext(name), source.url);
  return { url: source.displayUrl, sealed_url: bytes, key_id: keyId };
}

/** Encrypts URLs that an earlier version stored as they were given. */
export async function sealRepositories({
  db,
  sealer,
}: {
  readonly db: Database;
  readonly sealer: Sealer;
}): Promise<void> {
  const found = await db.transaction().execute(async (transaction) => {
    const rows = await transaction
      .selectFrom("repositories")
      .select(["name", "url"])
      .where("sealed_url", "is", null)
      .forUpdate()
      .execute();
    const plain = rows.flatMap(({ name, url }) => {
      const source = understood(url);
      return source === null || source.url === source.displayUrl ? [] : [{ name, source }];
    });
    if (plain.length > 0) await requireRegisteredKey(transaction, sealer.keyId);
    for (const { name, source } of plain) {
      const row = sealedAddress(sealer, name, source);
      await transaction.updateTable("repositories").set(row).where("name", "=", name).execute();
    }
    return plain.length;
  });
  // Otherwise the old rows would stay in the table's file.
  if (found > 0) await sql`vacuum full repositories`.execute(db);
}

/** `null`: this version doesn't accept the URL. It can't be used, but must not keep the instance from starting. */
function understood(url: string): RepositorySource | null {
  try {
    return parseRepositoryUrl(url, { allowLocal: true });
  } catch (error) {
    if (error instanceof AirlockError) return null;
    throw error;
  }
}
