import type { SecretView, SetSecretRequest } from "@airlock/api";
import { AirlockError } from "@airlock/job";
import { type Selectable, sql } from "kysely";
import type { z } from "zod";
import { requireRegisteredKey } from "../sealing/open-keyring.ts";
import type { SealContext, Sealer } from "../sealing/sealer.ts";
import type { Database } from "../store/database.ts";
import { inTransaction } from "../store/in-transaction.ts";
import type { Schema } from "../store/schema.ts";
import { recordSecretEvents } from "./secret-audit.ts";

/** The jobs that may use a secret. An empty member means all namespaces or queues. */
export interface SecretScope {
  readonly namespace: string;
  readonly queue: string;
}

/** Who changes something, and how they authenticated. */
export interface SecretActor {
  readonly actor: string;
  readonly via: "token" | "session";
}

export function secretContext({ namespace, queue, name }: SecretScope & { readonly name: string }): SealContext {
  return ["secret", namespace, queue, name];
}

/**
 * Ordered by name, then namespace.
 * @param visible Only the secrets of these namespaces, and those of all namespaces; `null`: every secret.
 */
export async function listSecrets(db: Database, visible: readonly string[] | null): Promise<SecretView[]> {
  // Never select the value, so that it can't be shown.
  let query = db.selectFrom("secrets").select(viewColumns);
  if (visible !== null) query = query.where("namespace", "=", sql<string>`any(${["", ...visible]}::text[])`);
  const rows = await query.orderBy("name").orderBy("namespace").execute();
  return rows.map(toView);
}

/**
 * Creates the secret with this name and scope, or replaces its value. Records who did it.
 * @throws {AirlockError} `secret-key-mismatch`.
 */
export async function setSecret(
  { db, sealer }: { readonly db: Database; readonly sealer: Sealer },
  name: string,
  request: z.output<typeof SetSecretRequest>,
  by: SecretActor,
): Promise<{ readonly secret: SecretView; readonly created: boolean }> {
  const scope = { namespace: request.namespace ?? "", queue: request.queue ?? "" };
  const sealed = sealer.seal(secretContext({ ...scope, name }), request.value);
  return inTransaction(db, async (transaction) => {
    await requireRegisteredKey(transaction, sealed.keyId);
    const row = await transaction
      .insertInto("secrets")
      .values({
        ...scope,
        name,
        description: request.description ?? "",
        key_id: sealed.keyId,
        sealed: sealed.bytes,
        created_by: by.actor,
        updated_by: by.actor,
        last_used_at: null,
      })
      .onConflict((conflict) =>
        conflict.columns(["name", "namespace", "queue"]).doUpdateSet({
          key_id: sealed.keyId,
          sealed: sealed.bytes,
          updated_at: sql<Date>`now()`,
          updated_by: by.actor,
          ...(request.description === undefined ? {} : { description: request.description }),
        }),
      )
      // An inserted row has no older version, so `xmax` is 0.
      .returning([...viewColumns, sql<boolean>`xmax = 0`.as("created")])
      .executeTakeFirstOrThrow();
    await recordSecretEvents(transaction, [{ action: row.created ? "created" : "changed", name, ...scope, ...by }]);
    return { secret: toView(row), created: row.created };
  });
}

/** @throws {AirlockError} `not-found`. */
export async function deleteSecret(db: Database, name: string, scope: SecretScope, by: SecretActor): Promise<void> {
  await inTransaction(db, async (transaction) => {
    const row = await transaction
      .deleteFrom("secrets")
      .where("name", "=", name)
      .where("namespace", "=", scope.namespace)
      .where("queue", "=", scope.queue)
      .returning("id")
      .executeTakeFirst();
    if (!row) {
      const place = [scope.namespace && `namespace "${scope.namespace}"`, scope.queue && `queue "${scope.queue}"`]
        .filter(Boolean)
        .join(" and ");
      throw new AirlockError(`no secret named "${name}" for ${place || "all jobs"}`, {
        code: "not-found",
        hint: "List secrets with `airlock secret list` or GET /api/v1/secrets. Give the secret's namespace and queue, too.",
      });
    }
    await recordSecretEvents(transaction, [{ action: "deleted", name, ...scope, ...by }]);
  });
}

const viewColumns = [
  "name",
  "namespace",
  "queue",
  "description",
  "created_at",
  "created_by",
  "updated_at",
  "updated_by",
  "last_used_at",
] as const;

function toView(row: Pick<Selectable<Schema["secrets"]>, (typeof viewColumns)[number]>): SecretView {
  return {
    name: row.name,
    namespace: row.namespace || null,
    queue: row.queue || null,
    description: row.description,
    createdAt: row.created_at.toISOString(),
    createdBy: row.created_by,
    updatedAt: row.updated_at.toISOString(),
    updatedBy: row.updated_by,
    lastUsedAt: row.last_used_at?.toISOString() ?? null,
  };
}
