import { randomBytes } from "node:crypto";
import type {
  ListDeliveriesQuery,
  ListWebhooksQuery,
  UpdateWebhookRequest,
  WebhookDeliveryList,
  WebhookDeliveryView,
  WebhookEvent,
  WebhookList,
  WebhookView,
} from "@airlock/api";
import { AirlockError } from "@airlock/job";
import { type Selectable, sql } from "kysely";
import { requireRegisteredKey } from "../sealing/open-keyring.ts";
import type { SealContext, Sealer } from "../sealing/sealer.ts";
import type { Database } from "../store/database.ts";
import type { Schema } from "../store/schema.ts";

/** A namespace needs a few. Each costs a row per change of a job. */
const maxOfNamespace = 20;

/** The encrypted secret belongs to its namespace, and can't be opened for another one. */
export function webhookContext({ namespace }: { readonly namespace: string }): SealContext {
  return ["webhook", namespace];
}

export interface NewWebhook {
  readonly namespace: string;
  readonly name: string;
  readonly url: string;
  readonly events: readonly WebhookEvent[];
}

/**
 * The secret is in this answer and nowhere else.
 * @throws {AirlockError} `too-many-webhooks`.
 */
export async function createWebhook(
  { db, sealer }: { readonly db: Database; readonly sealer: Sealer },
  { namespace, name, url, events }: NewWebhook,
): Promise<WebhookView & { readonly secret: string }> {
  await requireRegisteredKey(db, sealer.keyId);
  const secret = `whsec_${randomBytes(32).toString("base64")}`;
  const { keyId, bytes } = sealer.seal(webhookContext({ namespace }), secret);
  const row = await db
    .insertInto("webhooks")
    .values({ namespace, name, url, events: [...events], sealed: bytes, key_id: keyId })
    .returningAll()
    .executeTakeFirstOrThrow();
  // Counted after the insertion, so that requests at the same time can't exceed the limit together.
  const { rows } = await sql<{ count: number }>`
    select count(*)::int as count from webhooks where namespace = ${namespace}`.execute(db);
  if ((rows[0]?.count ?? 0) > maxOfNamespace) {
    throw new AirlockError(`the namespace "${namespace}" has ${maxOfNamespace} webhooks`, {
      code: "too-many-webhooks",
      hint: "Delete webhooks that nothing uses.",
    });
  }
  return { ...toView(row), secret };
}

/** @param visible Only those of these namespaces; `null`: all. */
export async function listWebhooks(
  db: Database,
  visible: readonly string[] | null,
  { namespace, after, limit }: ListWebhooksQuery,
): Promise<WebhookList> {
  if (visible?.length === 0) return { webhooks: [], next: null };
  let query = db
    .selectFrom("webhooks")
    .selectAll()
    .orderBy("id")
    .limit(limit + 1);
  if (visible !== null) query = query.where("namespace", "in", [...visible]);
  if (namespace !== undefined) query = query.where("namespace", "=", namespace);
  if (after !== undefined) query = query.where("id", ">", after);
  const rows = await query.execute();
  const page = rows.slice(0, limit).map(toView);
  return { webhooks: page, next: rows.length > limit ? (page.at(-1)?.id ?? null) : null };
}

export async function namespaceOfWebhook(db: Database, id: number): Promise<string | null> {
  const row = await db.selectFrom("webhooks").select("namespace").where("id", "=", id).executeTakeFirst();
  return row?.namespace ?? null;
}

/** `null`: there is no such webhook. */
export async function updateWebhook(
  db: Database,
  id: number,
  { name, url, events, enabled }: UpdateWebhookRequest,
): Promise<WebhookView | null> {
  const changes = {
    ...(name === undefined ? {} : { name }),
    ...(url === undefined ? {} : { url }),
    ...(events === undefined ? {} : { events: [...events] }),
    ...(enabled === undefined ? {} : { enabled }),
  };
  const query =
    Object.keys(changes).length === 0
      ? db.selectFrom("webhooks").selectAll().where("id", "=", id)
      : db.updateTable("webhooks").set(changes).where("id", "=", id).returningAll();
  const row = await query.executeTakeFirst();
  return row ? toView(row) : null;
}

export async function deleteWebhook(db: Database, id: number): Promise<boolean> {
  return (await db.deleteFrom("webhooks").where("id", "=", id).returning("id").executeTakeFirst()) !== undefined;
}

/** Newest first. */
export async function listDeliveries(
  db: Database,
  webhook: number,
  { state, before, limit }: ListDeliveriesQuery,
): Promise<WebhookDeliveryList> {
  const { rows } = await sql<{
    id: number;
    event: WebhookEvent;
    job: number;
    state: WebhookDeliveryView["state"];
    created_at: Date;
    visible_at: Date;
    tries: { at: string; duration_ms: number; status: number | null; error: string | null }[];
  }>`
    select id, event, job, state, created_at, visible_at,
      coalesce((select jsonb_agg(to_jsonb(t) order by t.try) from webhook_tries t where t.delivery = d.id), '[]') as tries
    from webhook_deliveries d
    where webhook = ${webhook} and (${state ?? null}::text is null or state = ${state ?? null})
      and (${before ?? null}::bigint is null or id < ${before ?? null})
    order by id desc limit ${limit + 1}`.execute(db);
  const page = rows.slice(0, limit).map((row) => ({
    id: row.id,
    event: row.event,
    job: row.job,
    state: row.state,
    createdAt: row.created_at.toISOString(),
    nextTryAt: row.state === "pending" ? row.visible_at.toISOString() : null,
    tries: row.tries.map(({ at, duration_ms: durationMs, status, error }) => ({
      at: new Date(at).toISOString(),
      durationMs,
      status,
      error,
    })),
  }));
  return { deliveries: page, next: rows.length > limit ? (page.at(-1)?.id ?? null) : null };
}

/** Sends a delivery again, from the first wait on. Returns whether the webhook has such a delivery. */
export async function repeatDelivery(db: Database, webhook: number, id: number): Promise<boolean> {
  const { rows } = await sql`
    update webhook_deliveries set state = 'pending', visible_at = airlock_now()
    where id = ${id} and webhook = ${webhook} returning id`.execute(db);
  return rows.length > 0;
}

/** Deletes deliveries that ended, and those that nothing can deliver any more, a month after their creation. */
export async function forgetDeliveries(db: Database): Promise<void> {
  await sql`delete from webhook_deliveries where created_at < airlock_now() - interval '720 hours'`.execute(db);
}

function toView(row: Selectable<Schema["webhooks"]>): WebhookView {
  return {
    id: row.id,
    namespace: row.namespace,
    name: row.name,
    url: row.url,
    events: row.events,
    enabled: row.enabled,
    createdAt: row.created_at.toISOString(),
  };
}
