import type { RotatedKeys } from "@airlock/api";
import { repositoryContext } from "../repositories/seal-repositories.ts";
import type { Sealer } from "../sealing/sealer.ts";
import type { Database } from "../store/database.ts";
import { webhookContext } from "../webhooks/webhook-rows.ts";
import { secretContext } from "./secret-store.ts";

const batch = 100;

/**
 * Re-encrypts everything with the newest key, a few rows at a time. It may be interrupted, and several may run at once.
 * @throws {AirlockError} `secret-key-missing`, `secret-damaged`: rows that are done stay done.
 */
export async function rotateKeys({
  db,
  sealer,
}: {
  readonly db: Database;
  readonly sealer: Sealer;
}): Promise<RotatedKeys> {
  let rotated = 0;
  for (const work of [rotateSecrets, rotateRepositories, rotateWebhooks]) {
    for (let done = batch; done === batch; rotated += done) done = await work(db, sealer);
  }
  return { keyId: sealer.keyId, rotated };
}

function rotateSecrets(db: Database, sealer: Sealer): Promise<number> {
  return db.transaction().execute(async (transaction) => {
    const rows = await transaction
      .selectFrom("secrets")
      .select(["id", "name", "namespace", "queue", "sealed"])
      .where("key_id", "<>", sealer.keyId)
      .orderBy("id")
      .limit(batch)
      .forUpdate()
      .execute();
    for (const row of rows) {
      const { keyId, bytes } = sealer.reseal(secretContext(row), row.sealed);
      await transaction.updateTable("secrets").set({ key_id: keyId, sealed: bytes }).where("id", "=", row.id).execute();
    }
    return rows.length;
  });
}

function rotateRepositories(db: Database, sealer: Sealer): Promise<number> {
  return db.transaction().execute(async (transaction) => {
    const rows = await transaction
      .selectFrom("repositories")
      .select(["name", "sealed_url"])
      .where("key_id", "<>", sealer.keyId)
      .orderBy("name")
      .limit(batch)
      .forUpdate()
      .execute();
    for (const { name, sealed_url } of rows) {
      if (!sealed_url) continue;
      const { keyId, bytes } = sealer.reseal(repositoryContext(name), sealed_url);
      const changes = { key_id: keyId, sealed_url: bytes };
      await transaction.updateTable("repositories").set(changes).where("name", "=", name).execute();
    }
    return rows.length;
  });
}

function rotateWebhooks(db: Database, sealer: Sealer): Promise<number> {
  return db.transaction().execute(async (transaction) => {
    const rows = await transaction
      .selectFrom("webhooks")
      .select(["id", "namespace", "sealed"])
      .where("key_id", "<>", sealer.keyId)
      .orderBy("id")
      .limit(batch)
      .forUpdate()
      .execute();
    for (const row of rows) {
      const { keyId, bytes } = sealer.reseal(webhookContext(row), row.sealed);
      const changes = { key_id: keyId, sealed: bytes };
      await transaction.updateTable("webhooks").set(changes).where("id", "=", row.id).execute();
    }
    return rows.length;
  });
}
